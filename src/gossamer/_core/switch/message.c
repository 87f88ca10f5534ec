/* Messages: see message.h. */
#include "message.h"

void
message_drop(struct message message)
{
    Py_XDECREF(message.value);
    if (message.kwargs != POSITIONAL)
        Py_XDECREF(message.kwargs);
}

struct message
message_for_parked(struct message message)
{
    if (message.kwargs == POSITIONAL) {
        if (PyTuple_GET_SIZE(message.value) == 1) {
            PyObject *only = Py_NewRef(PyTuple_GET_ITEM(message.value, 0));
            Py_SETREF(message.value, only);
        }
    }
    else if (message.kwargs != NULL) {
        if (PyTuple_GET_SIZE(message.value) == 0) {
            Py_SETREF(message.value, message.kwargs);
        }
        else {
            int collector_was_on = PyGC_Disable();  /* no code may run: whom it is for has been chosen */
            PyObject *pair = PyTuple_Pack(2, message.value, message.kwargs);
            if (collector_was_on)
                PyGC_Enable();
            Py_DECREF(message.kwargs);
            Py_SETREF(message.value, pair);
        }
    }
    message.kwargs = NULL;
    return message;
}
