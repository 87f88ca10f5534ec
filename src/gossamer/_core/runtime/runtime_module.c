/* The runtime as floor 2 and the tests see it: types and functions of gossamer._core. */
#include "hub.h"

#include <math.h>
#include <stddef.h>

int
deadline_from(PyObject *timeout, int64_t *deadline)
{
    *deadline = INT64_MAX;
    timeout = timeout_seconds(timeout);
    if (timeout == Py_None)
        return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "a time in seconds must be a number, not nan");
        return -1;
    }
    *deadline = deadline_after(seconds);
    return 0;
}

/* ---- functions ---- */

static PyObject *
core_get_hub(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = hub_get();
    return hub != NULL ? Py_NewRef((PyObject *)hub->object) : NULL;
}

/* Plain hubs that exist become hubs of this class, as if it had been set before they were made. */
static void
hubs_promote(PyTypeObject *type)
{
    if (type->tp_basicsize != Hub_Type.tp_basicsize || type->tp_itemsize != 0
        || type->tp_dictoffset != Hub_Type.tp_dictoffset || type->tp_weaklistoffset != Hub_Type.tp_weaklistoffset)
        return;
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next) {
        if (thread->hub == NULL || !Py_IS_TYPE(thread->hub->object, &Hub_Type) || type == &Hub_Type)
            continue;
        Py_INCREF(type);
        Py_SET_TYPE(thread->hub->object, type);
    }
}

static PyObject *
core_set_hub_class(PyObject *Py_UNUSED(module), PyObject *type)
{
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, &Hub_Type))
        return PyErr_Format(PyExc_TypeError, "the hub class must be a subclass of Hub, not %R", type);
    Py_SETREF(core.hub_class, Py_NewRef(type));
    hubs_promote((PyTypeObject *)type);
    Py_RETURN_NONE;
}

static PyObject *
core_set_green_class(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *type, *hook;
    if (!PyArg_ParseTuple(args, "O!O:set_green_class", &PyType_Type, &type, &hook))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)type, &GreenThread_Type))
        return PyErr_Format(PyExc_TypeError, "the class of green threads must be a subclass of GreenThread, not %R", type);
    Py_XSETREF(core.green_class, (PyTypeObject *)Py_NewRef(type));
    Py_XSETREF(core.spawn_hook, hook != Py_None ? Py_NewRef(hook) : NULL);
    Py_RETURN_NONE;
}

static int
name_place(PyObject *name, const char *const *names, Py_ssize_t known)
{
    for (int place = 0; place < known; place++)
        if (PyUnicode_CompareWithASCIIString(name, names[place]) == 0)
            return place;
    return -1;
}

int
arguments_take(const char *function, const char *const *names, Py_ssize_t known, PyObject *const *args,
               Py_ssize_t count, PyObject *keywords, PyObject **values)
{
    if (count > known) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments (%zd given)", function, known, count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < known; i++)
        values[i] = i < count ? args[i] : NULL;
    for (Py_ssize_t i = 0; keywords != NULL && i < PyTuple_GET_SIZE(keywords); i++) {
        PyObject *name = PyTuple_GET_ITEM(keywords, i);
        int place = name_place(name, names, known);
        if (place < 0 || values[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() %s %R", function,
                         place < 0 ? "has no argument" : "was given twice the argument", name);
            return -1;
        }
        values[place] = args[count + i];
    }
    return 0;
}

static int
sleep_arguments(PyObject *const *args, Py_ssize_t count, PyObject *keywords, double *seconds, int *ref)
{
    static const char *const names[] = {"seconds", "ref"};
    PyObject *values[2];
    if (arguments_take("sleep", names, 2, args, count, keywords, values) < 0)
        return -1;
    *seconds = values[0] != NULL ? PyFloat_AsDouble(values[0]) : 0;
    *ref = values[1] != NULL ? PyObject_IsTrue(values[1]) : 1;
    return *ref < 0 || (*seconds == -1.0 && PyErr_Occurred()) ? -1 : 0;
}

static PyObject *
core_sleep(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct hub *hub = hub_get();
    double seconds;
    int ref;
    if (hub == NULL || sleep_arguments(args, count, names, &seconds, &ref) < 0)
        return NULL;
    if (isnan(seconds))
        return PyErr_Format(PyExc_ValueError, "a time in seconds must be a number, not nan");
    uint32_t unreferenced = !ref && seconds > 0;
    hub->unreferenced += unreferenced;
    int outcome = hub_pause(hub, seconds);
    hub->unreferenced -= unreferenced;
    return outcome < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
wait_for(PyObject *args, PyObject *kwargs, enum direction direction)
{
    static char *names[] = {"fd", "timeout", NULL};
    int descriptor;
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|O", names, &descriptor, &timeout)
        || deadline_from(timeout, &deadline) < 0)
        return NULL;
    struct hub *hub = hub_get();
    int outcome = hub != NULL ? hub_wait_descriptor(hub, descriptor, direction, deadline) : -1;
    return outcome < 0 ? NULL : PyBool_FromLong(outcome == UNPARKED);
}

static PyObject *
core_wait_read(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    return wait_for(args, kwargs, READING);
}

static PyObject *
core_wait_write(PyObject *Py_UNUSED(module), PyObject *args, PyObject *kwargs)
{
    return wait_for(args, kwargs, WRITING);
}

static PyObject *
core_interrupt(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *greenlet, *exception;
    if (!PyArg_ParseTuple(args, "O!O:interrupt", &Greenlet_Type, &greenlet, &exception))
        return NULL;
    if (!PyExceptionInstance_Check(exception))
        return PyErr_Format(PyExc_TypeError, "interrupt() needs an exception instance, not %s",
                            Py_TYPE(exception)->tp_name);
    return PyBool_FromLong(hub_interrupt(((GreenletObject *)greenlet)->fiber, exception));
}

static PyObject *
core_after_fork_in_child(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *thread = current_thread;
    promises_after_fork();
    if (thread != NULL && thread->hub != NULL && hub_after_fork(thread->hub) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- callbacks ---- */

CallbackObject *
callback_new(PyObject *function, PyObject *args)
{
    CallbackObject *callback = PyObject_New(CallbackObject, &Callback_Type);
    if (callback == NULL)
        return NULL;
    callback->function = Py_NewRef(function);
    callback->args = Py_NewRef(args);
    callback->timer = (struct timer){0};
    callback->unreferenced = false;
    callback->hub = NULL;
    return callback;
}

bool
callback_timer_stop(CallbackObject *callback)
{
    struct hub *hub = callback->hub;
    if (hub == NULL)
        return false;
    timers_remove(&hub->timers, &callback->timer);
    hub->unreferenced -= callback->unreferenced;
    callback->unreferenced = false;
    callback->hub = NULL;
    return true;
}

static void
Callback_dealloc(PyObject *self)
{
    CallbackObject *callback = (CallbackObject *)self;
    Py_XDECREF(callback->function);
    Py_XDECREF(callback->args);
    PyObject_Free(self);
}

static PyObject *
Callback_stop(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    CallbackObject *callback = (CallbackObject *)self;
    Py_CLEAR(callback->function);
    Py_CLEAR(callback->args);
    if (callback_timer_stop(callback))
        Py_DECREF(self);
    Py_RETURN_NONE;
}

static PyObject *
Callback_get_pending(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((CallbackObject *)self)->function != NULL);
}

static PyObject *
or_none(PyObject *object)
{
    return Py_NewRef(object != NULL ? object : Py_None);
}

static PyObject *
Callback_get_callback(PyObject *self, void *Py_UNUSED(closure))
{
    return or_none(((CallbackObject *)self)->function);
}

static PyObject *
Callback_get_args(PyObject *self, void *Py_UNUSED(closure))
{
    return or_none(((CallbackObject *)self)->args);
}

static int
Callback_bool(PyObject *self)
{
    return ((CallbackObject *)self)->function != NULL;
}

static PyObject *
Callback_repr(PyObject *self)
{
    CallbackObject *callback = (CallbackObject *)self;
    if (callback->function == NULL)
        return PyUnicode_FromFormat("<callback at %p stopped>", self);
    return PyUnicode_FromFormat("<callback at %p pending callback=%R args=%R>", self, callback->function, callback->args);
}

static PyObject *
Callback_unref(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    CallbackObject *callback = (CallbackObject *)self;
    if (callback->hub != NULL && !callback->unreferenced) {
        callback->unreferenced = true;
        callback->hub->unreferenced++;
    }
    Py_RETURN_NONE;
}

static PyMethodDef callback_methods[] = {
    {"stop", Callback_stop, METH_NOARGS, "stop($self, /)\n--\n\nDo not make the call after all."},
    {"close", Callback_stop, METH_NOARGS, "close($self, /)\n--\n\nThe same as `stop`."},
    {"unref", Callback_unref, METH_NOARGS,
     "unref($self, /)\n--\n\nHave the hub's join() not wait for this timer, nor LoopExit stay away for it."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef callback_attributes[] = {
    {"pending", Callback_get_pending, NULL, "Whether the call is still to be made.", NULL},
    {"active", Callback_get_pending, NULL, "The same as `pending`.", NULL},
    {"callback", Callback_get_callback, NULL, "What is to be called; None once that is over.", NULL},
    {"args", Callback_get_args, NULL, "The arguments of the call; None once that is over.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyNumberMethods callback_number = {.nb_bool = Callback_bool};

PyTypeObject Callback_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_repr = Callback_repr,
    .tp_as_number = &callback_number,
    .tp_name = "gossamer._core.Callback",
    .tp_doc = "A call that the hub greenlet is to make.",
    .tp_basicsize = sizeof(CallbackObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = Callback_dealloc,
    .tp_methods = callback_methods,
    .tp_getset = callback_attributes,
};

static CallbackObject *
callback_from(const char *name, PyObject *args, Py_ssize_t first)
{
    if (PyTuple_GET_SIZE(args) <= first || !PyCallable_Check(PyTuple_GET_ITEM(args, first))) {
        PyErr_Format(PyExc_TypeError, "%s() needs a function to call", name);
        return NULL;
    }
    PyObject *rest = PyTuple_GetSlice(args, first + 1, PyTuple_GET_SIZE(args));
    CallbackObject *callback = rest != NULL ? callback_new(PyTuple_GET_ITEM(args, first), rest) : NULL;
    Py_XDECREF(rest);
    return callback;
}

/* ---- the hub greenlet ---- */

struct hub *
hub_of(PyObject *self)
{
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next)
        if (thread->hub != NULL && (PyObject *)thread->hub->object == self)
            return thread->hub;
    PyErr_SetString(core.error, "this hub is not in use any more");
    return NULL;
}

static PyObject *
Hub_run(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = hub_of(self);
    if (hub == NULL)
        return NULL;
    if (hub->thread != current_thread || hub->thread->current != hub->home) {
        PyErr_SetString(core.error, "the hub's loop runs on the hub greenlet alone: switch() to it");
        return NULL;
    }
    return hub_loop(hub);
}

static PyObject *
Hub_switch(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = hub_of(self);
    if (hub == NULL)
        return NULL;
    if (hub->thread != current_thread) {
        PyErr_SetString(core.error, "Cannot switch to a different thread: this hub is another thread's");
        return NULL;
    }
    if (hub_prepare(hub, FOR_HUB, 0) < 0)
        return NULL;
    return hub_park_for_value(hub);
}

static PyObject *
Hub_run_callback(PyObject *self, PyObject *args)
{
    struct hub *hub = hub_of(self);
    CallbackObject *callback = hub != NULL ? callback_from("run_callback", args, 0) : NULL;
    if (callback == NULL)
        return NULL;
    Py_INCREF(callback);
    hub_call_soon(hub, callback);
    return (PyObject *)callback;
}

static PyObject *
Hub_call_later(PyObject *self, PyObject *args)
{
    struct hub *hub = hub_of(self);
    int64_t when;
    if (hub == NULL)
        return NULL;
    if (hub->thread != current_thread)
        return PyErr_Format(core.error, "call_later() is for the hub of the calling thread");
    if (PyTuple_GET_SIZE(args) == 0)
        return PyErr_Format(PyExc_TypeError, "call_later() needs a time in seconds and a function");
    if (deadline_from(PyTuple_GET_ITEM(args, 0), &when) < 0)
        return NULL;
    CallbackObject *callback = callback_from("call_later", args, 1);
    if (callback == NULL)
        return NULL;
    if (timers_add(&hub->timers, &callback->timer, when) < 0) {
        Py_DECREF(callback);
        return NULL;
    }
    callback->hub = hub;
    return Py_NewRef((PyObject *)callback);
}

static bool
is_subclass_of_any(PyObject *type, PyObject *first, PyObject *second, PyObject *third)
{
    return PyErr_GivenExceptionMatches(type, first) || PyErr_GivenExceptionMatches(type, second)
        || (third != NULL && PyErr_GivenExceptionMatches(type, third));
}

static void
error_set(PyObject *type, PyObject *value)
{
    if (PyExceptionInstance_Check(value))
        PyErr_SetRaisedException(Py_NewRef(value));
    else
        PyErr_SetObject(type, value);
}

/* Calls sys.excepthook or sys.__excepthook__. Returns false with a report written when it cannot or the hook fails. */
static bool
hook_called(const char *name, PyObject *error)
{
    PyObject *hook = PySys_GetObject(name);
    PyObject *traceback = PyException_GetTraceback(error), *result = NULL;
    if (hook != NULL && hook != Py_None) {
        Py_INCREF(hook);
        PyObject *arguments[] = {(PyObject *)Py_TYPE(error), error, traceback != NULL ? traceback : Py_None};
        result = PyObject_Vectorcall(hook, arguments, 3, NULL);
        if (result == NULL)
            PyErr_WriteUnraisable(hook);
        Py_DECREF(hook);
    }
    Py_XDECREF(traceback);
    Py_XDECREF(result);
    return result != NULL;
}

/* Not through PyErr_Print(), which ends the process for SystemExit, keeps the error in sys.last_exc, and from 3.14 on has a
   process that printed a KeyboardInterrupt die of SIGINT at its end. */
static void
error_print(PyObject *context, PyObject *type, PyObject *value)
{
    PyObject *name = PyObject_Repr(context);
    if (name == NULL) {
        PyErr_Clear();
        name = PyUnicode_FromFormat("<%s that cannot be shown>", Py_TYPE(context)->tp_name);
    }
    if (name != NULL)
        PySys_FormatStderr("%U failed:\n", name);
    Py_XDECREF(name);
    error_set(type, value);
    PyObject *error = PyErr_GetRaisedException();
    if (!hook_called("excepthook", error))
        hook_called("__excepthook__", error);
    Py_DECREF(error);
}

static PyObject *
Hub_handle_error(PyObject *self, PyObject *args)
{
    PyObject *context, *type, *value, *traceback;
    if (!PyArg_ParseTuple(args, "OOOO:handle_error", &context, &type, &value, &traceback))
        return NULL;
    if (!is_subclass_of_any(type, core.greenlet_exit, PyExc_SystemExit, NULL))
        error_print(context, type, value);
    if (context != Py_None && !is_subclass_of_any(type, PyExc_KeyboardInterrupt, PyExc_SystemExit, PyExc_SystemError))
        Py_RETURN_NONE;
    struct hub *hub = hub_of(self);
    if (hub == NULL)
        return NULL;
    error_set(type, value);
    hub_deliver_to_main(hub);
    Py_RETURN_NONE;
}

static PyObject *
Hub_handle_system_error(PyObject *self, PyObject *args)
{
    PyObject *type, *value, *traceback = Py_None;
    if (!PyArg_ParseTuple(args, "OO|O:handle_system_error", &type, &value, &traceback))
        return NULL;
    struct hub *hub = hub_of(self);
    if (hub == NULL)
        return NULL;
    error_set(type, value);
    hub_deliver_to_main(hub);
    Py_RETURN_NONE;
}

/* The calling thread's hub if it is `self`; else NULL with an exception set. */
static struct hub *
own_hub(PyObject *self)
{
    struct hub *hub = hub_of(self);
    if (hub == NULL || hub->thread == current_thread)
        return hub;
    PyErr_SetString(core.error, "this hub is another thread's");
    return NULL;
}

static PyObject *
Hub_join(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    int64_t deadline;
    struct hub *hub = own_hub(self);
    if (hub == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "|O:join", names, &timeout)
        || deadline_from(timeout, &deadline) < 0)
        return NULL;
    int outcome = hub_join(hub, deadline);
    return outcome < 0 ? NULL : PyBool_FromLong(outcome == UNPARKED);
}

static PyObject *
Hub_poll(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = own_hub(self);
    if (hub == NULL)
        return NULL;
    hub_poll(hub, false);
    return PyLong_FromUnsignedLong(hub->ring.tail - hub->ring.head);
}

static PyObject *
Hub_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = hub_of(self);
    return hub != NULL ? PyLong_FromLong(hub->poller.epoll) : NULL;
}

static PyObject *
Hub_next_deadline(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = own_hub(self);
    if (hub == NULL)
        return NULL;
    if (hub->timers.count == 0)
        Py_RETURN_NONE;
    int64_t left = hub->timers.heap[0].when - clock_now();
    return PyFloat_FromDouble(left > 0 ? (double)left / 1e9 : 0.0);
}

static PyObject *
Hub_polls(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = hub_of(self);
    return hub != NULL ? PyLong_FromUnsignedLongLong(hub->polls) : NULL;
}

static PyObject *
Hub_waits(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = hub_of(self);
    return hub == NULL ? NULL
        : PyLong_FromSsize_t((Py_ssize_t)hub->timers.count - hub->unreferenced + hub->poller.waiting + hub->foreign);
}

static PyMethodDef hub_methods[] = {
    {"handle_system_error", Hub_handle_system_error, METH_VARARGS,
     "handle_system_error($self, type, value, tb=None, /)\n--\n\nRaise an exception in the main greenlet of the hub's thread: class, `value` and traceback `tb`."},
    {"join", (PyCFunction)(void (*)(void))Hub_join, METH_VARARGS | METH_KEYWORDS,
     "join($self, /, timeout=None)\n--\n\n"
     "Wait until nothing is left that could make a greenlet of this thread ready, and nobody is, or `timeout` seconds.\n\n"
     "Returns True in the first case, False in the second. Greenlets that wait for other OS threads alone do not count, unless for a pool's."},
    {"poll", Hub_poll, METH_NOARGS,
     "poll($self, /)\n--\n\n"
     "Make ready whatever timers, descriptors and other threads have for, without waiting. Returns how many greenlets\n"
     "and callbacks are ready then: they run when the caller waits or sleeps."},
    {"fileno", Hub_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nThe epoll descriptor: readable when poll() would find something but timers."},
    {"next_deadline", Hub_next_deadline, METH_NOARGS,
     "next_deadline($self, /)\n--\n\nSeconds until the first timer expires; None without one."},
    {"polls", Hub_polls, METH_NOARGS, "polls($self, /)\n--\n\nHow often descriptors and timers were asked for so far."},
    {"waits", Hub_waits, METH_NOARGS,
     "waits($self, /)\n--\n\nHow many timers, descriptors and promises there are that join() waits for."},

    {"run", Hub_run, METH_NOARGS, "run($self, /)\n--\n\nThe loop of the hub. Never returns."},
    {"switch", Hub_switch, METH_NOARGS,
     "switch($self, /)\n--\n\n"
     "Park the calling greenlet until somebody switches to it; return what they bring."},
    {"run_callback", Hub_run_callback, METH_VARARGS,
     "run_callback($self, function, /, *args)\n--\n\n"
     "Have function(*args) called on the hub greenlet, in turn; return a Callback to stop it. From any thread."},
    {"call_later", Hub_call_later, METH_VARARGS,
     "call_later($self, seconds, function, /, *args)\n--\n\n"
     "Have function(*args) called on the hub greenlet in `seconds` seconds. Returns a Callback to stop it."},
    {"handle_error", Hub_handle_error, METH_VARARGS,
     "handle_error($self, context, type, value, tb, /)\n--\n\n"
     "Called with what a callback or a green thread, the context, raised: prints it to sys.stderr.\n\n"
     "SystemExit, KeyboardInterrupt and SystemError are raised in the main greenlet, as is any error without\n"
     "a context; SystemExit and GreenletExit are not printed."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject Hub_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "gossamer._core.Hub",
    .tp_doc = "The greenlet on which a thread's callbacks run: see get_hub().",
    .tp_basicsize = sizeof(GreenletObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_base = &Greenlet_Type,
    .tp_dealloc = Greenlet_dealloc,
    .tp_finalize = Greenlet_finalize,
    .tp_traverse = Greenlet_traverse,
    .tp_clear = Greenlet_clear,
    .tp_methods = hub_methods,
};

/* ---- wait queues ---- */

typedef struct {
    PyObject_HEAD
    struct wait_queue queue;
    PyObject *about;
} WaitQueueObject;

static PyObject *
WaitQueue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"about", NULL};
    PyObject *about = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:WaitQueue", names, &about))
        return NULL;
    WaitQueueObject *self = (WaitQueueObject *)type->tp_alloc(type, 0);
    if (self != NULL && about != Py_None)
        self->about = Py_XNewRef(about);
    return (PyObject *)self;
}

static int
WaitQueue_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((WaitQueueObject *)self)->about);
    return 0;
}

static int
WaitQueue_clear(PyObject *self)
{
    Py_CLEAR(((WaitQueueObject *)self)->about);
    return 0;
}

static void
WaitQueue_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    struct wait_queue *queue = &((WaitQueueObject *)self)->queue;
    while (queue->first != NULL)
        wait_queue_remove(queue->first);
    WaitQueue_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
WaitQueue_park(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    WaitQueueObject *object = (WaitQueueObject *)self;
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:park", names, &timeout)
        || deadline_from(timeout, &deadline) < 0)
        return NULL;
    struct hub *hub = hub_get();
    if (hub == NULL || hub_prepare(hub, FOR_QUEUE, (uintptr_t)object->about) < 0)
        return NULL;
    wait_queue_append(&object->queue, hub->thread->current);
    if (hub_prepare_deadline(hub, deadline) < 0)
        return NULL;
    int outcome = hub_park(hub);
    return outcome < 0 ? NULL : PyBool_FromLong(outcome == UNPARKED);
}

static PyObject *
WaitQueue_unpark(PyObject *self, PyObject *args)
{
    struct wait_queue *queue = &((WaitQueueObject *)self)->queue;
    Py_ssize_t most = 1, count = 0;
    if (!PyArg_ParseTuple(args, "|n:unpark", &most))
        return NULL;
    for (; count < most && queue->first != NULL; count++)
        hub_unpark(queue->first, UNPARKED);
    return PyLong_FromSsize_t(count);
}

static Py_ssize_t
WaitQueue_length(PyObject *self)
{
    return ((WaitQueueObject *)self)->queue.length;
}

static PyMethodDef wait_queue_methods[] = {
    {"park", (PyCFunction)(void (*)(void))WaitQueue_park, METH_VARARGS | METH_KEYWORDS,
     "park($self, /, timeout=None)\n--\n\n"
     "Wait until unparked: True; or `timeout` seconds: False."},
    {"unpark", WaitQueue_unpark, METH_VARARGS,
     "unpark($self, count=1, /)\n--\n\n"
     "End the waits of the first `count` greenlets, from any thread. Returns how many there were."},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods wait_queue_sequence = {.sq_length = WaitQueue_length};

PyTypeObject WaitQueue_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "gossamer._core.WaitQueue",
    .tp_doc = "WaitQueue(about=None)\n--\n\n"
              "Greenlets that wait for the same thing, first come first served. `about` names it in reports.",
    .tp_basicsize = sizeof(WaitQueueObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = WaitQueue_new,
    .tp_dealloc = WaitQueue_dealloc,
    .tp_traverse = WaitQueue_traverse,
    .tp_clear = WaitQueue_clear,
    .tp_methods = wait_queue_methods,
    .tp_as_sequence = &wait_queue_sequence,
};

/* ---- into the module ---- */

static PyMethodDef functions[] = {
    {"get_hub", core_get_hub, METH_NOARGS, "get_hub()\n--\n\nThe calling thread's hub greenlet."},
    {"set_hub_class", core_set_hub_class, METH_O,
     "set_hub_class(type, /)\n--\n\nThe class of hubs made from now on: a subclass of Hub."},
    {"spawn", (PyCFunction)(void (*)(void))core_spawn, METH_FASTCALL | METH_KEYWORDS,
     "spawn(function, /, *args, **kwargs)\n--\n\nA new green thread that runs function(*args, **kwargs)."},
    {"set_green_class", core_set_green_class, METH_VARARGS,
     "set_green_class(type, hook, /)\n--\n\n"
     "The subclass of GreenThread whose spawn() makes instances without calling it, and what is called with each\n"
     "green thread of that class, or below, when it is started; None: nothing."},
    {"sleep", (PyCFunction)(void (*)(void))core_sleep, METH_FASTCALL | METH_KEYWORDS,
     "sleep(seconds=0, ref=True)\n--\n\n"
     "Wait so many `seconds`, or with 0 let everybody who is ready go first.\n\n"
     "With ref=False the end of this wait is nothing that the hub's join() waits for."},
    {"throw_into", core_throw_into, METH_VARARGS,
     "throw_into(greenlet, exception, /)\n--\n\n"
     "End a greenlet's wait, or its life before the start, with an exception; if it does neither, raise it there\n"
     "as soon as it lets the hub run. From any thread. False when it has ended."},
    {"wait_read", (PyCFunction)(void (*)(void))core_wait_read, METH_VARARGS | METH_KEYWORDS,
     "wait_read(fd, timeout=None)\n--\n\nWait until a descriptor can be read: True; or so many seconds: False."},
    {"wait_write", (PyCFunction)(void (*)(void))core_wait_write, METH_VARARGS | METH_KEYWORDS,
     "wait_write(fd, timeout=None)\n--\n\nWait until a descriptor can be written: True; or so many seconds: False."},
    {"interrupt", core_interrupt, METH_VARARGS,
     "interrupt(greenlet, exception, /)\n--\n\n"
     "End the wait of a parked greenlet with an exception. False when it does not wait for the hub."},
    {"_after_fork_in_child", core_after_fork_in_child, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int
exception_add(PyObject *module, PyObject **place, const char *name, const char *doc, PyObject *base)
{
    *place = PyErr_NewExceptionWithDoc(name, doc, base, NULL);
    return *place != NULL ? PyModule_AddObjectRef(module, strrchr(name, '.') + 1, *place) : -1;
}

static int
exceptions_add(PyObject *module)
{
    if (exception_add(module, &core.loop_exit, "gossamer.exceptions.LoopExit",
                      "Everything is parked for ever; the text says who waits where for what.", PyExc_Exception) < 0)
        return -1;
    if (exception_add(module, &core.blocking_switch_out_error, "gossamer.exceptions.BlockingSwitchOutError",
                      "Something on the hub greenlet tried to wait.", PyExc_AssertionError) < 0)
        return -1;
    return exception_add(module, &core.invalid_switch_error, "gossamer.exceptions.InvalidSwitchError",
                         "A waiting greenlet was switched to by somebody it does not wait for.",
                         PyExc_AssertionError);
}

static int
types_add(PyObject *module)
{
    PyTypeObject *types[] = {&Hub_Type, &GreenThread_Type, &Callback_Type, &WaitQueue_Type};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (PyModule_AddType(module, types[i]) < 0)
            return -1;
    core.hub_class = Py_NewRef((PyObject *)&Hub_Type);
    return 0;
}

/* Descriptors that a child shares with its parent are exchanged right after a fork. */
static int
fork_hook_add(PyObject *module)
{
    PyObject *os = PyImport_ImportModule("os");
    PyObject *hook = os != NULL ? PyObject_GetAttrString(module, "_after_fork_in_child") : NULL;
    PyObject *add = hook != NULL ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    PyObject *kwargs = add != NULL ? Py_BuildValue("{s:O}", "after_in_child", hook) : NULL;
    PyObject *result = kwargs != NULL ? PyObject_Call(add, core.empty_tuple, kwargs) : NULL;
    int status = result != NULL ? 0 : -1;
    Py_XDECREF(result);
    Py_XDECREF(kwargs);
    Py_XDECREF(add);
    Py_XDECREF(hook);
    Py_XDECREF(os);
    return status;
}

int
runtime_ready(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) < 0 || exceptions_add(module) < 0 || types_add(module) < 0
        || interface_add(module) < 0 || promises_ready(module) < 0 || timeouts_ready(module) < 0
        || green_threads_ready() < 0)
        return -1;
    return fork_hook_add(module);
}
