/* The hub greenlet as Python sees it: its loop, calls to be made on it, errors that are nobody's, and what those ask for
   who drive the loop from outside. */
#include "hub.h"

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

static PyObject *
Hub_run_callback(PyObject *self, PyObject *args)
{
    struct hub *hub = hub_of(self);
    CallbackObject *callback = hub != NULL ? callback_from("run_callback", args, 0) : NULL;
    if (callback == NULL)
        return NULL;
    Py_INCREF(callback);
    if (hub_call_soon(hub, callback) < 0)
        Py_CLEAR(callback);
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
    Py_INCREF(callback);
    if (hub_call_at(hub, callback, when) < 0)
        Py_CLEAR(callback);
    return (PyObject *)callback;
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
    hub_look(hub);
    return PyLong_FromUnsignedLong(hub->ring.tail - hub->ring.head);
}

static PyObject *
Hub_turn(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = own_hub(self);
    if (hub == NULL)
        return NULL;
    hub_turn_driven(hub);
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
    if (hub_driver_is_current(hub) < 0)
        return NULL;
    if (!hub_may_sleep(hub) || hub->standing[WATCH_IDLE] != NULL)
        return PyFloat_FromDouble(0);
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

static PyObject *
Hub_progress(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = hub_of(self);
    if (hub == NULL)
        return NULL;
    if (hub->remote.sleeping)
        Py_RETURN_NONE;
    uint64_t turns = hub->polls * (POLL_TURNS + 1) + (uint64_t)(POLL_TURNS - hub->turns);
    return Py_BuildValue("KO", (unsigned long long)turns, (PyObject *)hub->thread->current->object);
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
    {"turn", Hub_turn, METH_NOARGS,
     "turn($self, /)\n--\n\n"
     "The same as poll(), as a turn of the hub: what goes by its turns becomes ready, too (watchers of the loop itself)."},
    {"fileno", Hub_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nThe epoll descriptor: readable when poll() would find something but timers."},
    {"next_deadline", Hub_next_deadline, METH_NOARGS,
     "next_deadline($self, /)\n--\n\nSeconds until the first timer expires; None without one.\n\n"
     "For who sleeps in the hub's stead, the calling greenlet: from now on other threads make fileno() readable until the\n"
     "next poll, and so does what it leaves to be done itself, as by a wait that lets others run."},
    {"polls", Hub_polls, METH_NOARGS, "polls($self, /)\n--\n\nHow often descriptors and timers were asked for so far."},
    {"waits", Hub_waits, METH_NOARGS,
     "waits($self, /)\n--\n\nHow many timers, descriptors, promises and watchers there are that join() waits for."},

    {"progress", Hub_progress, METH_NOARGS,
     "progress($self, /)\n--\n\n"
     "Whether the hub gets its turns, for those who look on from another thread: None while it sleeps, else a number\n"
     "that changes with each turn, and the greenlet that runs."},
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
