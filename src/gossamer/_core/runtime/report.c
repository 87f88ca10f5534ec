/* The text of LoopExit: every parked green thread, where it stands, what it waits for. */
#include "hub.h"

/* A name for a report, which must come about whatever the object's repr does. */
static PyObject *
safe_repr(PyObject *object)
{
    PyObject *text = PyObject_Repr(object);
    if (text != NULL)
        return text;
    PyErr_Clear();
    return PyUnicode_FromFormat("<%s object at %p>", Py_TYPE(object)->tp_name, (void *)object);
}

static PyObject *
named(const char *format, PyObject *object)
{
    PyObject *name = safe_repr(object);
    PyObject *text = name != NULL ? PyUnicode_FromFormat(format, name) : NULL;
    Py_XDECREF(name);
    return text;
}

static PyObject *
subject_text(const struct fiber *fiber)
{
    switch ((enum wait_reason)fiber->wait.reason) {
    case FOR_HUB:
        return PyUnicode_FromString("waits in hub.switch() for a switch back");
    case FOR_TURN:
        return PyUnicode_FromString("waits for its turn");
    case FOR_TIME:
        return PyUnicode_FromString("sleeps");
    case FOR_READING:
        return PyUnicode_FromFormat("waits to read from descriptor %d", (int)fiber->wait.subject);
    case FOR_WRITING:
        return PyUnicode_FromFormat("waits to write to descriptor %d", (int)fiber->wait.subject);
    case FOR_QUEUE:
        return fiber->wait.subject != 0 ? named("waits for %U", (PyObject *)fiber->wait.subject)
                                        : PyUnicode_FromString("waits to be unparked");
    case FOR_GREEN_THREAD:
        return named("waits for the end of %U", (PyObject *)fiber->wait.subject);
    }
    Py_UNREACHABLE();
}

static PyObject *
place_text(struct fiber *fiber)
{
    PyObject *frame = fiber_frame(fiber);
    if (frame == Py_None) {
        Py_DECREF(frame);
        return PyUnicode_FromString("outside of Python code");
    }
    PyCodeObject *code = PyFrame_GetCode((PyFrameObject *)frame);
    PyObject *text = PyUnicode_FromFormat("at %U:%d in %U", code->co_filename,
                                          PyFrame_GetLineNumber((PyFrameObject *)frame), code->co_name);
    Py_DECREF(code);
    Py_DECREF(frame);
    return text;
}

static int
line_add(PyObject *lines, struct fiber *fiber)
{
    if (fiber->wait.state != WAITING)
        return 0;
    PyObject *subject = subject_text(fiber);
    PyObject *place = subject != NULL ? place_text(fiber) : NULL;
    PyObject *name = place != NULL ? safe_repr((PyObject *)fiber->object) : NULL;
    PyObject *line = name != NULL ? PyUnicode_FromFormat("%U %U, %U", name, subject, place) : NULL;
    int result = line != NULL ? PyList_Append(lines, line) : -1;
    Py_XDECREF(line);
    Py_XDECREF(name);
    Py_XDECREF(place);
    Py_XDECREF(subject);
    return result;
}

PyObject *
report_parked(struct hub *hub)
{
    PyObject *lines = Py_BuildValue("[s]", "every green thread of this thread is parked for ever:");
    PyObject *separator = PyUnicode_FromString("\n  ");
    int result = lines == NULL || separator == NULL ? -1 : line_add(lines, hub->thread->main);
    for (struct fiber *fiber = hub->thread->started; fiber != NULL && result == 0; fiber = fiber->next)
        result = line_add(lines, fiber);
    PyObject *text = result == 0 ? PyUnicode_Join(separator, lines) : NULL;
    Py_XDECREF(separator);
    Py_XDECREF(lines);
    return text;
}
