/* A call to be made on the hub greenlet, and Python's handle on it, by which it is taken back. */
#include "hub.h"

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
    PyObject *function = Py_NewRef(callback->function), *args = Py_NewRef(callback->args);
    PyObject *text = PyUnicode_FromFormat("<callback at %p pending callback=%R args=%R>", self, function, args);
    Py_DECREF(args);
    Py_DECREF(function);
    return text;
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
