/* The frames of a suspended greenlet: links between them while a slice of the stack is elsewhere, and the references
   that they own. */
#ifndef GOSSAMER_CPYTHON_FRAMES_H
#define GOSSAMER_CPYTHON_FRAMES_H

#include "state.h"

static inline InterpreterFrame *
python_state_frame(const PythonState *state, bool copied_out)
{
#if HAS_CFRAME
    return copied_out ? state->copied_frame : state->cframe->current_frame;
#else
    (void)copied_out;
    return state->frame;
#endif
}

/* Before the stack that holds `cframe` is copied out. */
static inline void
python_state_keep_frame(PythonState *state)
{
#if HAS_CFRAME
    state->copied_frame = state->cframe->current_frame;
#else
    (void)state;
#endif
}

/* A frame on the data stack whose `previous` lies on the C stack. */
typedef struct {
    InterpreterFrame *frame, *previous;
} FrameLink;

/* Finds the links from the chain at `frame` into [low, high), `most` at most; writes them to `links`
   unless NULL. Returns how many there are. */
static inline size_t
frame_links(InterpreterFrame *frame, const char *low, const char *high, FrameLink *links, size_t most)
{
    size_t count = 0;
#if HAS_ENTRY_FRAMES_ON_STACK
    while (frame != NULL && count < most) {
        InterpreterFrame *previous = frame->previous;
        if ((const char *)previous >= low && (const char *)previous < high
            && !((const char *)frame >= low && (const char *)frame < high)) {
            if (links != NULL)
                links[count] = (FrameLink){frame, previous};
            count++;
        }
        frame = previous;
    }
#else
    (void)frame, (void)low, (void)high, (void)links, (void)most;
#endif
    return count;
}

/* Lets each of `links` skip the frames in [low, high). */
static inline void
frame_links_cut(const FrameLink *links, size_t count, const char *low, const char *high)
{
    for (size_t i = 0; i < count; i++) {
        InterpreterFrame *previous = links[i].previous;
        while ((const char *)previous >= low && (const char *)previous < high)
            previous = previous->previous;
        links[i].frame->previous = previous;
    }
}

static inline void
frame_links_mend(const FrameLink *links, size_t count)
{
    for (size_t i = 0; i < count; i++)
        links[i].frame->previous = links[i].previous;
}

/* From 3.15 on the outermost frame is one of the thread state's, and goes with that: kept frames must not lead there. */
static inline void
frames_leave_thread(InterpreterFrame *frame, PyThreadState *tstate)
{
#if HAS_BASE_FRAME
    while (frame != NULL && frame->previous != tstate->base_frame)
        frame = frame->previous;
    if (frame != NULL)
        frame->previous = NULL;
#else
    (void)frame, (void)tstate;
#endif
}

#if !HAS_STACK_LIMITS
/* Where the known part of a frame's evaluation stack ends: at `call_end`, the end of the arguments of the
   C call it is in, when those lie in this frame. */
static inline PyObject **
frame_known_end(InterpreterFrame *frame, PyCodeObject *code, PyObject *const *call_end)
{
    PyObject **base = frame->localsplus + code->co_nlocalsplus;
    if (frame->stacktop > code->co_nlocalsplus)
        return frame->localsplus + frame->stacktop;
    if (call_end > (PyObject *const *)base && call_end <= (PyObject *const *)base + code->co_stacksize)
        return (PyObject **)call_end;
    return base;
}
#endif

/* Shows the collector the references that one frame owns. A generator shows its own. */
static inline int
frame_traverse(InterpreterFrame *frame, PyObject *const *call_end, visitproc visit, void *arg)
{
    if (frame->owner != FRAME_OWNED_BY_THREAD)
        return 0;
    Py_VISIT(frame->frame_obj);
    Py_VISIT(frame->f_locals);
#if HAS_STACK_LIMITS
    /* tags: 0 a counted reference, anything else not ours to show */
    if ((frame->f_funcobj.bits & 3) == 0)
        Py_VISIT((PyObject *)frame->f_funcobj.bits);
    PyCodeObject *code = (PyCodeObject *)(frame->f_executable.bits & ~(uintptr_t)3);
    _PyStackRef *end = frame->localsplus + code->co_nlocalsplus;
    if (frame->stackpointer > end)
        end = frame->stackpointer;
    for (_PyStackRef *place = frame->localsplus; place < end; place++)
        if ((place->bits & 3) == 0)
            Py_VISIT((PyObject *)place->bits);
    (void)call_end;
#else
#  if PY_VERSION_HEX >= 0x030d0000
    PyCodeObject *code = (PyCodeObject *)frame->f_executable;
#  else
    PyCodeObject *code = frame->f_code;
#  endif
#  if PY_VERSION_HEX >= 0x030c0000
    Py_VISIT(frame->f_funcobj);
#  else
    Py_VISIT(frame->f_func);
#  endif
    PyObject **end = frame_known_end(frame, code, call_end);
    for (PyObject **place = frame->localsplus; place < end; place++)
        Py_VISIT(*place);
#endif
    return 0;
}

/* The frame object of a suspended greenlet's innermost complete frame: new reference, or NULL
   without an exception when it runs no Python code. The interpreter makes frame objects for the
   current frame only, so that one is exchanged for the time of the call. */
static inline PyFrameObject *
frame_object_of(InterpreterFrame *frame, PyThreadState *tstate)
{
    int collector_was_on = PyGC_Disable();  /* no foreign code while the chain is another's */
#if HAS_CFRAME
    _PyCFrame *saved = tstate->cframe;
    _PyCFrame lent = *saved;
    lent.current_frame = frame;
    tstate->cframe = &lent;
    PyFrameObject *object = PyThreadState_GetFrame(tstate);
    tstate->cframe = saved;
#else
    InterpreterFrame *saved = tstate->current_frame;
    tstate->current_frame = frame;
    PyFrameObject *object = PyThreadState_GetFrame(tstate);
    tstate->current_frame = saved;
#endif
    if (collector_was_on)
        PyGC_Enable();
    return object;
}

#endif
