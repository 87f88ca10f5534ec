/* settrace() and gettrace(): a function told of every transfer in its thread, after the arrival, as
   tracer(event, (origin, target)) with event "switch" or "throw". Whatever it raises is raised in the
   target instead of what was sent, and takes the tracer off (greenlet's documentation, "Tracing"). */
#include "fiber.h"

PyObject *
trace_arrival(struct thread *thread, GreenletObject *origin, PyObject *value)
{
    const char *event = thread->thrown ? "throw" : "switch";
    PyObject *exception = value == NULL ? PyErr_GetRaisedException() : NULL;
    PyObject *tracer = Py_NewRef(thread->tracer);
    thread->thrown = false;
    PyThreadState_EnterTracing(thread->tstate);
    PyObject *result = PyObject_CallFunction(tracer, "s(OO)", event, origin, thread->current->object);
    PyThreadState_LeaveTracing(thread->tstate);
    if (result == NULL) {
        if (thread->tracer == tracer)
            Py_CLEAR(thread->tracer);
        thread_set_attention(thread);
        Py_CLEAR(value);
        Py_XDECREF(exception);
    }
    else {
        Py_DECREF(result);
        if (exception != NULL)
            PyErr_SetRaisedException(exception);
    }
    Py_DECREF(tracer);
    return value;
}

int
trace_hand_off(struct thread *thread)
{
    GreenletObject *left = (GreenletObject *)Py_NewRef((PyObject *)thread->left);
    PyObject *value = trace_arrival(thread, left, Py_NewRef(Py_None));
    Py_XDECREF(value);
    Py_DECREF(left);
    return value != NULL ? 0 : -1;
}

PyObject *
core_settrace(PyObject *Py_UNUSED(module), PyObject *tracer)
{
    struct thread *thread = thread_get();
    if (thread == NULL)
        return NULL;
    PyObject *before = thread->tracer;
    thread->tracer = tracer == Py_None ? NULL : Py_NewRef(tracer);
    thread_set_attention(thread);
    return before != NULL ? before : Py_NewRef(Py_None);
}

PyObject *
core_gettrace(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct thread *thread = thread_get();
    if (thread == NULL)
        return NULL;
    return Py_NewRef(thread->tracer != NULL ? thread->tracer : Py_None);
}
