/* Looking at greenlets from outside: frames, contexts, representation, counts. */
#include "fiber.h"

static bool
is_current_somewhere(const struct fiber *fiber)
{
    return fiber->state == STARTED && fiber->thread->current == fiber;
}

/* The innermost Python frame of a parked greenlet, None when it runs none or is not parked. */
PyObject *
fiber_frame(struct fiber *fiber)
{
    if (fiber->state != STARTED || is_current_somewhere(fiber))
        Py_RETURN_NONE;
    bool copied_out = !fiber_is_resident(fiber);
    PyFrameObject *frame = frame_object_of(python_state_frame(&fiber->python, copied_out), PyThreadState_Get());
    return frame != NULL ? (PyObject *)frame : Py_NewRef(Py_None);
}

PyObject *
Greenlet_get_frame(PyObject *self, void *Py_UNUSED(closure))
{
    return fiber_frame(((GreenletObject *)self)->fiber);
}

/* Where the context of `fiber` is kept: in its thread's state while it runs. NULL with ValueError set
   when that is another thread's, which may exchange it at any moment. */
static PyObject **
context_place(struct fiber *fiber)
{
    if (!is_current_somewhere(fiber))
        return &fiber->python.context;
    if (fiber->thread != current_thread) {
        PyErr_SetString(PyExc_ValueError,
                        "cannot get or set the context of a greenlet that is running in a different thread");
        return NULL;
    }
    return &fiber->thread->tstate->context;
}

PyObject *
Greenlet_get_context(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject **place = context_place(((GreenletObject *)self)->fiber);
    if (place == NULL)
        return NULL;
    return Py_NewRef(*place != NULL ? *place : Py_None);
}

int
Greenlet_set_context(PyObject *self, PyObject *context, void *Py_UNUSED(closure))
{
    if (context == NULL) {
        PyErr_SetString(PyExc_AttributeError, "can't delete context attribute; set it to None instead");
        return -1;
    }
    if (context != Py_None && !PyContext_CheckExact(context)) {
        PyErr_Format(PyExc_TypeError, "greenlet context must be a contextvars.Context or None, not %s",
                     Py_TYPE(context)->tp_name);
        return -1;
    }
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    PyObject **place = context_place(fiber);
    if (place == NULL)
        return -1;
    PyObject *before = *place;
    *place = context == Py_None ? NULL : Py_NewRef(context);
    if (is_current_somewhere(fiber))
        fiber->thread->tstate->context_ver++;
    Py_XDECREF(before);
    return 0;
}

static const char *
state_words(const struct fiber *fiber)
{
    if (fiber->state == FRESH)
        return " pending";
    if (fiber->state == DEAD)
        return fiber->is_main ? " (thread exited) dead" : " dead";
    /* to others than its own thread, what runs there looks suspended */
    bool current = fiber->thread == current_thread && fiber->thread->current == fiber;
    return current ? " current active started" : " suspended active started";
}

PyObject *
Greenlet_repr(PyObject *self)
{
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    const char *name = Py_TYPE(self)->tp_name;
    PyObject *text = PyUnicode_FromFormat("<%s object at %p (otid=%p)%s%s", name, self,
                                          (void *)fiber_thread(fiber), state_words(fiber),
                                          fiber->is_main && fiber->state != DEAD ? " main" : "");
    if (text == NULL || fiber->run == NULL) {
        PyObject *closed = text != NULL ? PyUnicode_FromFormat("%U>", text) : NULL;
        Py_XDECREF(text);
        return closed;
    }
    PyObject *run = Py_NewRef(fiber->run);
    PyObject *full = NULL;
    if (Py_EnterRecursiveCall(" in the repr of a greenlet") == 0) {
        int again = Py_ReprEnter(self);
        if (again == 0) {
            full = PyUnicode_FromFormat("%U run=%R>", text, run);
            Py_ReprLeave(self);
        }
        else if (again > 0) {
            full = PyUnicode_FromFormat("%U run=...>", text);
        }
        Py_LeaveRecursiveCall();
    }
    Py_DECREF(run);
    Py_DECREF(text);
    return full;
}

static int
frames_add(PyObject *frames, struct fiber *fiber)
{
    PyObject *frame;
    if (is_current_somewhere(fiber)) {
        frame = (PyObject *)PyThreadState_GetFrame(fiber->thread->tstate);
        if (frame == NULL)
            frame = Py_NewRef(Py_None);
    }
    else {
        frame = fiber_frame(fiber);
    }
    PyObject *pair = PyTuple_Pack(2, fiber->object, frame);
    Py_DECREF(frame);
    int result = pair != NULL ? PyList_Append(frames, pair) : -1;
    Py_XDECREF(pair);
    return result;
}

/* A list of pairs: each started, unfinished greenlet of every thread with its innermost frame or None. */
PyObject *
core_frames(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject *frames = PyList_New(0);
    if (frames == NULL)
        return NULL;
    int collector_was_on = PyGC_Disable();  /* the lists must not change on the way */
    int result = 0;
    for (struct thread *thread = core.threads; thread != NULL && result == 0; thread = thread->next) {
        result = frames_add(frames, thread->main);
        for (struct fiber *fiber = thread->started; fiber != NULL && result == 0; fiber = fiber->next)
            result = frames_add(frames, fiber);
    }
    if (collector_was_on)
        PyGC_Enable();
    if (result < 0)
        Py_CLEAR(frames);
    return frames;
}

PyObject *
core_counts(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t running = 0;
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next)
        running += thread->current != thread->main;
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n}", "alive", core.alive, "parked", core.alive - running,
                         "leaked", core.leaked, "slots", slots_mapped(), "copied_out", core.copied_out);
}
