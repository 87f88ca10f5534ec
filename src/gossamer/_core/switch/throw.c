/* throw(): the three parts of a `raise` statement become an exception, and a switch takes it along. */
#include "message.h"

/* Sets the error that throw(type, value, traceback) means. The rules are those of the `raise` statement
   with three parts. Returns -1 with TypeError set when they do not fit together. */
static int
set_thrown_error(PyObject *type, PyObject *value, PyObject *traceback)
{
    if (traceback == Py_None)
        traceback = NULL;
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return -1;
    }
    if (PyExceptionInstance_Check(type)) {
        if (value != NULL && value != Py_None) {
            PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
            return -1;
        }
        if (traceback == NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(type), type);
            return 0;
        }
        PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(type)), Py_NewRef(type), Py_NewRef(traceback));
        return 0;
    }
    if (!PyExceptionClass_Check(type)) {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes, or instances, not %s",
                     Py_TYPE(type)->tp_name);
        return -1;
    }
    Py_INCREF(type);
    Py_XINCREF(value);
    Py_XINCREF(traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyErr_Restore(type, value, traceback);
    return 0;
}

PyObject *
greenlet_throw_error(GreenletObject *greenlet, PyObject *type, PyObject *value, PyObject *traceback)
{
    struct thread *thread = thread_get();
    if (thread == NULL || set_thrown_error(type, value, traceback) < 0)
        return NULL;
    message_put(thread, (struct message){0});
    return fiber_transfer(thread, greenlet->fiber);
}

PyObject *
Greenlet_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count > 3) {
        PyErr_Format(PyExc_TypeError, "throw() takes at most 3 arguments (%zd given)", count);
        return NULL;
    }
    return greenlet_throw_error((GreenletObject *)self, count > 0 ? args[0] : core.greenlet_exit,
                                count > 1 ? args[1] : NULL, count > 2 ? args[2] : NULL);
}
