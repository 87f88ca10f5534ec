/* Timeout: an exception that a timer throws into the greenlet that started it, wherever it waits by then.

   In C since programs set one around most of what they do, and nearly all are cancelled: starting and cancelling is a
   place in the timer heap taken and given back.

   - While it is pending it has a callback in the timer heap or in the ring, which owns a reference to it.
   - One that expires while its greenlet has another exception to raise first tries again after that: an outer timeout
     may have cancelled it by then. So none is lost, and they come in the order of their times.

   The behaviour is that of gevent's documentation of gevent.Timeout. */
#include "hub.h"

#include <stddef.h>

typedef struct {
    PyBaseExceptionObject base;
    PyObject *seconds, *exception;
    char ref;
    CallbackObject *callback;        /* while pending, or just over */
    PyObject *greenlet;              /* who started it */
} TimeoutObject;

static PyTypeObject Timeout_Type;
static PyObject *expire_function;

static bool
is_pending(const TimeoutObject *timeout)
{
    return timeout->callback != NULL && timeout->callback->function != NULL;
}

static void
stop(TimeoutObject *timeout)
{
    CallbackObject *callback = timeout->callback;
    timeout->callback = NULL;
    if (callback == NULL)
        return;
    Py_INCREF(timeout);              /* the callback may have the last reference */
    if (callback_timer_stop(callback))
        Py_DECREF(callback);
    Py_CLEAR(callback->function);
    Py_CLEAR(callback->args);
    Py_DECREF(callback);
    Py_CLEAR(timeout->greenlet);
    Py_DECREF(timeout);
}

/* ---- starting ---- */

static CallbackObject *
callback_for(TimeoutObject *timeout)
{
    PyObject *args = PyTuple_Pack(1, timeout);
    CallbackObject *callback = args != NULL ? callback_new(expire_function, args) : NULL;
    Py_XDECREF(args);
    return callback;
}

static int
start(TimeoutObject *timeout)
{
    struct hub *hub = hub_get();
    int64_t when;
    if (hub == NULL)
        return -1;
    if (is_pending(timeout)) {
        PyErr_Format(PyExc_AssertionError, "%R is already started; to restart it, cancel it first", timeout);
        return -1;
    }
    if (timeout->seconds == Py_None)
        return 0;
    if (deadline_from(timeout->seconds, &when) < 0)
        return -1;
    CallbackObject *callback = callback_for(timeout);
    if (callback == NULL)
        return -1;
    Py_INCREF(callback);
    if (hub_call_at(hub, callback, when) < 0) {
        Py_DECREF(callback);
        return -1;
    }
    callback->unreferenced = !timeout->ref;
    hub->unreferenced += callback->unreferenced;
    Py_XSETREF(timeout->callback, callback);
    Py_XSETREF(timeout->greenlet, Py_NewRef((PyObject *)hub->thread->current->object));
    return 0;
}

/* ---- expiring ---- */

/* What is raised: the timeout itself, or what it was given; a TypeError if that is no exception, so that nobody waits for
   one in vain. New reference. */
static PyObject *
exception_of(TimeoutObject *timeout)
{
    PyObject *exception = timeout->exception;
    if (exception == Py_None || PyBool_Check(exception) || PyUnicode_Check(exception))
        return Py_NewRef((PyObject *)timeout);
    if (PyExceptionInstance_Check(exception))
        return Py_NewRef(exception);
    PyObject *made = NULL;
    Py_INCREF(exception);            /* the timeout may be given another meanwhile */
    if (PyExceptionClass_Check(exception))
        made = PyObject_CallNoArgs(exception);
    else
        PyErr_Format(PyExc_TypeError, "exceptions must be exceptions or their classes, and that of a timeout is %R",
                     exception);
    Py_DECREF(exception);
    return made != NULL ? made : PyErr_GetRaisedException();
}

/* The greenlet is about to raise something else. */
static int
expire_again(TimeoutObject *timeout)
{
    CallbackObject *callback = callback_for(timeout);
    struct hub *hub = hub_get();
    if (callback == NULL || hub == NULL) {
        Py_XDECREF(callback);
        return -1;
    }
    Py_XSETREF(timeout->callback, (CallbackObject *)Py_NewRef((PyObject *)callback));
    return hub_call_soon(hub, callback);
}

/* On the hub greenlet. */
static PyObject *
expire(PyObject *Py_UNUSED(module), PyObject *object)
{
    TimeoutObject *timeout = (TimeoutObject *)object;
    if (timeout->greenlet == NULL)
        Py_RETURN_NONE;
    if (((GreenletObject *)timeout->greenlet)->fiber->wait.interrupt != NULL)
        return expire_again(timeout) == 0 ? Py_NewRef(Py_None) : NULL;
    PyObject *greenlet = timeout->greenlet;
    timeout->greenlet = NULL;
    PyObject *exception = exception_of(timeout);
    int thrown = exception != NULL ? green_thread_throw((GreenletObject *)greenlet, exception) : -1;
    Py_XDECREF(exception);
    Py_DECREF(greenlet);
    return thrown >= 0 ? Py_NewRef(Py_None) : NULL;
}

int
timeout_put_off(PyObject *exception)
{
    if (!PyObject_TypeCheck(exception, &Timeout_Type))
        return 0;
    TimeoutObject *timeout = (TimeoutObject *)exception;
    if (is_pending(timeout))
        return 0;                    /* started again meanwhile: it counts anew */
    Py_XSETREF(timeout->greenlet, Py_NewRef((PyObject *)current_thread->current->object));
    return expire_again(timeout) == 0 ? 1 : -1;
}

/* ---- making ---- */

static const char *const names[] = {"seconds", "exception", "ref", "priority"};

static int
set_up(TimeoutObject *timeout, PyObject *const *values)
{
    int ref = values[2] != NULL ? PyObject_IsTrue(values[2]) : 1;
    if (ref < 0)
        return -1;
    timeout->ref = (char)ref;
    Py_XSETREF(timeout->seconds, Py_NewRef(values[0] != NULL ? values[0] : Py_None));
    Py_XSETREF(timeout->exception, Py_NewRef(values[1] != NULL ? values[1] : Py_None));
    return 0;
}

static int
Timeout_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"seconds", "exception", "ref", "priority", NULL};
    PyObject *values[4] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OOOO:Timeout", keywords, &values[0], &values[1], &values[2],
                                     &values[3]))
        return -1;
    return set_up((TimeoutObject *)self, values);
}

/* A subclass may not call __init__, or ask for something before. */
static PyObject *
Timeout_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    TimeoutObject *self = (TimeoutObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    PyObject *none[4] = {NULL};
    self->base.args = Py_NewRef(core.empty_tuple);
    set_up(self, none);
    return (PyObject *)self;
}

static PyObject *
Timeout_vectorcall(PyObject *type, PyObject *const *args, size_t flags, PyObject *keywords)
{
    PyObject *values[4];
    if (arguments_take("Timeout", names, 4, args, PyVectorcall_NARGS(flags), keywords, values) < 0)
        return NULL;
    PyObject *self = Timeout_new((PyTypeObject *)type, NULL, NULL);
    if (self != NULL && set_up((TimeoutObject *)self, values) < 0)
        Py_CLEAR(self);
    return self;
}

static PyObject *
Timeout_start_new(PyObject *type, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    static const char *const own_names[] = {"timeout", "exception", "ref"};
    PyObject *values[3];
    if (arguments_take("start_new", own_names, 3, args, count, keywords, values) < 0)
        return NULL;
    PyObject *timeout;
    if (values[0] != NULL && PyObject_TypeCheck(values[0], &Timeout_Type)) {
        timeout = Py_NewRef(values[0]);
    }
    else {
        PyObject *own[3] = {values[0] != NULL ? values[0] : Py_None, values[1] != NULL ? values[1] : Py_None,
                            values[2] != NULL ? values[2] : Py_True};
        timeout = PyObject_Vectorcall(type, own, 3, NULL);
        if (timeout != NULL && !PyObject_TypeCheck(timeout, &Timeout_Type))
            return timeout;
    }
    if (timeout != NULL && !is_pending((TimeoutObject *)timeout) && start((TimeoutObject *)timeout) < 0)
        Py_CLEAR(timeout);
    return timeout;
}

/* ---- the type ---- */

static PyObject *
Timeout_start(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return start((TimeoutObject *)self) == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
Timeout_cancel(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    stop((TimeoutObject *)self);
    Py_RETURN_NONE;
}

static PyObject *
Timeout_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return is_pending((TimeoutObject *)self) || start((TimeoutObject *)self) == 0 ? Py_NewRef(self) : NULL;
}

static PyObject *
Timeout_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    stop((TimeoutObject *)self);
    return PyBool_FromLong(count > 1 && args[1] == self && ((TimeoutObject *)self)->exception == Py_False);
}

static PyObject *
Timeout_get_pending(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_pending((TimeoutObject *)self));
}

static PyObject *
Timeout_get_timer(PyObject *self, void *Py_UNUSED(closure))
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    if (timeout->callback != NULL)
        return Py_NewRef((PyObject *)timeout->callback);
    CallbackObject *over = callback_new(expire_function, core.empty_tuple);
    if (over != NULL) {
        Py_CLEAR(over->function);
        Py_CLEAR(over->args);
    }
    return (PyObject *)over;
}

static PyObject *
Timeout_repr(PyObject *self)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.');
    name = name != NULL ? name + 1 : Py_TYPE(self)->tp_name;
    const char *pending = is_pending(timeout) ? " pending" : "";
    PyObject *seconds = Py_NewRef(timeout->seconds), *exception = Py_NewRef(timeout->exception);
    PyObject *text = exception == Py_None
        ? PyUnicode_FromFormat("<%s at %p seconds=%S%s>", name, self, seconds, pending)
        : PyUnicode_FromFormat("<%s at %p seconds=%S exception=%R%s>", name, self, seconds, exception, pending);
    Py_DECREF(exception);
    Py_DECREF(seconds);
    return text;
}

static PyObject *
words(PyObject *seconds, PyObject *exception)
{
    PyObject *one = PyLong_FromLong(1);
    int singular = one != NULL ? PyObject_RichCompareBool(seconds, one, Py_EQ) : -1;
    Py_XDECREF(one);
    if (singular < 0)
        return NULL;
    const char *plural = singular ? "" : "s";
    if (exception == Py_None)
        return PyUnicode_FromFormat("%S second%s", seconds, plural);
    if (exception == Py_False)
        return PyUnicode_FromFormat("%S second%s (silent)", seconds, plural);
    return PyUnicode_FromFormat("%S second%s: %S", seconds, plural, exception);
}

static PyObject *
Timeout_str(PyObject *self)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    if (timeout->seconds == Py_None)
        return PyUnicode_FromString("");
    PyObject *seconds = Py_NewRef(timeout->seconds), *exception = Py_NewRef(timeout->exception);
    PyObject *text = words(seconds, exception);
    Py_DECREF(exception);
    Py_DECREF(seconds);
    return text;
}

/* Shorter than a number of seconds, or than another one. */
static PyObject *
Timeout_richcompare(PyObject *self, PyObject *other, int operation)
{
    if (operation != Py_LT)
        return PyBaseObject_Type.tp_richcompare(self, other, operation);
    if (PyObject_TypeCheck(other, &Timeout_Type))
        other = ((TimeoutObject *)other)->seconds;
    Py_INCREF(other);
    PyObject *seconds = Py_NewRef(((TimeoutObject *)self)->seconds);
    PyObject *result = PyObject_RichCompare(seconds, other, Py_LT);
    Py_DECREF(seconds);
    Py_DECREF(other);
    return result;
}

static int
Timeout_traverse(PyObject *self, visitproc visit, void *arg)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    Py_VISIT(timeout->seconds);
    Py_VISIT(timeout->exception);
    Py_VISIT(timeout->greenlet);
    return Timeout_Type.tp_base->tp_traverse(self, visit, arg);
}

static int
Timeout_clear(PyObject *self)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    stop(timeout);
    Py_CLEAR(timeout->greenlet);
    Py_XSETREF(timeout->seconds, Py_NewRef(Py_None));
    Py_XSETREF(timeout->exception, Py_NewRef(Py_None));
    return Timeout_Type.tp_base->tp_clear(self);
}

/* Nothing is pending: that would own a reference. */
static void
Timeout_dealloc(PyObject *self)
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    PyObject_GC_UnTrack(self);
    Py_XDECREF(timeout->callback);
    Py_XDECREF(timeout->greenlet);
    Py_XDECREF(timeout->seconds);
    Py_XDECREF(timeout->exception);
    Timeout_Type.tp_base->tp_clear(self);
    Py_TYPE(self)->tp_free(self);
}

/* A copy is a timeout of its own, not started. Built without __init__: a subclass may have other arguments there. */
static PyObject *
Timeout_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TimeoutObject *timeout = (TimeoutObject *)self;
    PyObject *attributes = ((PyBaseExceptionObject *)self)->dict;
    PyObject *state = attributes != NULL ? PyDict_Copy(attributes) : PyDict_New();
    PyObject *copyreg = state != NULL ? PyImport_ImportModule("copyreg") : NULL;
    PyObject *make = copyreg != NULL ? PyObject_GetAttrString(copyreg, "__newobj__") : NULL;
    PyObject *result = NULL;
    if (make != NULL && PyDict_SetItemString(state, "seconds", timeout->seconds) == 0 &&
        PyDict_SetItemString(state, "exception", timeout->exception) == 0)
        result = Py_BuildValue("O(O)O", make, (PyObject *)Py_TYPE(self), state);
    Py_XDECREF(make);
    Py_XDECREF(copyreg);
    Py_XDECREF(state);
    return result;
}

static PyMethodDef methods[] = {
    {"start", Timeout_start, METH_NOARGS,
     "start($self, /)\n--\n\n"
     "Begin to count, for the greenlet that calls this. Raises AssertionError if it is pending already."},
    {"cancel", Timeout_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nRaise nothing after all. Does nothing when it is not pending."},
    {"close", Timeout_cancel, METH_NOARGS, "close($self, /)\n--\n\nThe same as `cancel`."},
    {"start_new", (PyCFunction)(void (*)(void))Timeout_start_new, METH_CLASS | METH_FASTCALL | METH_KEYWORDS,
     "start_new($type, /, timeout=None, exception=None, ref=True)\n--\n\n"
     "A started timeout; one that is given as `timeout` is started if it is not pending, and returned.\n\n"
     "timeout: seconds, or a Timeout.\n"
     "exception, ref: as of `Timeout`."},
    {"__reduce__", Timeout_reduce, METH_NOARGS,
     "__reduce__($self, /)\n--\n\nFor copies and pickles: its seconds and its exception, not started."},
    {"__enter__", Timeout_enter, METH_NOARGS, "__enter__($self, /)\n--\n\nStart it if it is not pending."},
    {"__exit__", (PyCFunction)(void (*)(void))Timeout_exit, METH_FASTCALL,
     "__exit__($self, kind, value, tb, /)\n--\n\nCancel it; with exception=False, swallow it too."},
    {NULL, NULL, 0, NULL},
};

static PyObject **
place_of(PyObject *self, void *offset)
{
    return (PyObject **)((char *)self + (size_t)offset);
}

static PyObject *
Timeout_get(PyObject *self, void *offset)
{
    return Py_NewRef(*place_of(self, offset));
}

/* Deleting is setting to None. */
static int
Timeout_set(PyObject *self, PyObject *value, void *offset)
{
    Py_XSETREF(*place_of(self, offset), Py_NewRef(value != NULL ? value : Py_None));
    return 0;
}

static PyGetSetDef attributes[] = {
    {"seconds", Timeout_get, Timeout_set, "Seconds from start() on; None for never.",
     (void *)offsetof(TimeoutObject, seconds)},
    {"exception", Timeout_get, Timeout_set, "What is raised instead of the timeout itself.",
     (void *)offsetof(TimeoutObject, exception)},
    {"pending", Timeout_get_pending, NULL, "Whether it is started and was neither raised nor cancelled.", NULL},
    {"timer", Timeout_get_timer, NULL, "The hub's callback that raises it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject Timeout_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "gossamer.timeout.Timeout",
    .tp_doc = "Timeout(seconds=None, exception=None, ref=True, priority=-1)\n--\n\n"
              "Raises itself, or another exception, in the greenlet that started it, after some time.\n\n"
              "seconds: from start() on; None for never. Less than 0 is 0.\n"
              "exception: raised instead of the timeout itself: an exception or its class. False, with a `with`\n"
              "statement: the timeout ends the block and goes no further.\n"
              "ref: False: that it may be raised is nothing that the hub's join() waits for.\n"
              "priority: accepted for compatibility.\n\n"
              "Not an Exception, so that `except Exception` does not catch it by accident. A greenlet that does not\n"
              "wait when the time comes gets it when it next does. From gevent's documentation of gevent.Timeout.",
    .tp_basicsize = sizeof(TimeoutObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = Timeout_new,
    .tp_init = Timeout_init,
    .tp_vectorcall = Timeout_vectorcall,
    .tp_dealloc = Timeout_dealloc,
    .tp_traverse = Timeout_traverse,
    .tp_clear = Timeout_clear,
    .tp_repr = Timeout_repr,
    .tp_str = Timeout_str,
    .tp_hash = (hashfunc)hash_of_pointer,
    .tp_richcompare = Timeout_richcompare,
    .tp_methods = methods,
    .tp_getset = attributes,
};

PyObject *
timeout_seconds(PyObject *timeout)
{
    return PyObject_TypeCheck(timeout, &Timeout_Type) ? ((TimeoutObject *)timeout)->seconds : timeout;
}

int
timeouts_ready(PyObject *module)
{
    static PyMethodDef definition = {"expire", expire, METH_O, NULL};
    Timeout_Type.tp_base = (PyTypeObject *)PyExc_BaseException;
    expire_function = PyCFunction_New(&definition, NULL);
    return expire_function != NULL ? PyModule_AddType(module, &Timeout_Type) : -1;
}
