/* What moves at a switch: the fields of the thread state that describe the stack that runs. */
#ifndef GOSSAMER_CPYTHON_STATE_H
#define GOSSAMER_CPYTHON_STATE_H

#include "version.h"

#include <string.h>

/* The C stack that a greenlet runs on, as the interpreter measures it (3.14 and later). */
typedef struct {
    uintptr_t top, soft_limit, hard_limit;
} StackLimits;

/* What moves at a switch. Valid while the greenlet is suspended; stale while it runs. */
typedef struct {
#if HAS_CFRAME
    _PyCFrame *cframe;
#else
    InterpreterFrame *frame;
#endif
    _PyStackChunk *chunk;
    PyObject **datastack_top, **datastack_limit;
    _PyErr_StackItem *exc_info;
    PyObject *context;               /* owned while suspended */
#if HAS_STACK_LIMITS
    PyObject *executor;
#endif
#ifdef Py_GIL_DISABLED
    uintptr_t critical_section;      /* the innermost one, on the C stack; suspended as long as this is valid */
#endif
    int recursion_depth;             /* Python calls in progress */
    int tracing;                     /* > 0: inside a trace function */
#if PY_VERSION_HEX < 0x030d0000
    int trash_nesting;
#endif
#if PY_VERSION_HEX >= 0x030c0000 && !HAS_STACK_LIMITS
    int c_recursion_remaining;
#endif
    /* where a greenlet starts from; untouched by switches */
    _PyErr_StackItem exc_base;
#if HAS_CFRAME
    _PyCFrame cframe_base;
    InterpreterFrame *copied_frame;  /* the current frame, while the stack with `cframe` is copied out */
#endif
} PythonState;

static inline __attribute__((always_inline)) void
python_state_save(PythonState *state, PyThreadState *tstate)
{
#if HAS_CFRAME
    state->cframe = tstate->cframe;
#else
    state->frame = tstate->current_frame;
#endif
    state->chunk = tstate->datastack_chunk;
    state->datastack_top = tstate->datastack_top;
    state->datastack_limit = tstate->datastack_limit;
    state->exc_info = tstate->exc_info;
    state->context = tstate->context;
    state->tracing = tstate->tracing;
#ifdef Py_GIL_DISABLED
    if (tstate->critical_section != 0)
        _PyCriticalSection_SuspendAll(tstate);
    state->critical_section = tstate->critical_section;
#endif
#if PY_VERSION_HEX < 0x030c0000
    state->recursion_depth = tstate->recursion_limit - tstate->recursion_remaining;
    state->trash_nesting = tstate->trash_delete_nesting;
#else
    state->recursion_depth = tstate->py_recursion_limit - tstate->py_recursion_remaining;
#  if PY_VERSION_HEX < 0x030d0000
    state->trash_nesting = tstate->trash.delete_nesting;
#  endif
#  if HAS_STACK_LIMITS
    state->executor = tstate->current_executor;
#  else
    state->c_recursion_remaining = tstate->c_recursion_remaining;
#  endif
#endif
}

static inline __attribute__((always_inline)) void
python_state_load(const PythonState *state, PyThreadState *tstate, const StackLimits *limits)
{
#if HAS_CFRAME
    tstate->cframe = state->cframe;
#else
    tstate->current_frame = state->frame;
#endif
    tstate->datastack_chunk = state->chunk;
    tstate->datastack_top = state->datastack_top;
    tstate->datastack_limit = state->datastack_limit;
    tstate->exc_info = state->exc_info;
    if (tstate->context != state->context) {
        tstate->context = state->context;
        tstate->context_ver++;
    }
    tstate->tracing = state->tracing;
#ifdef Py_GIL_DISABLED
    tstate->critical_section = state->critical_section;
#endif
#if PY_VERSION_HEX < 0x030c0000
    tstate->recursion_remaining = tstate->recursion_limit - state->recursion_depth;
    tstate->trash_delete_nesting = state->trash_nesting;
#else
    tstate->py_recursion_remaining = tstate->py_recursion_limit - state->recursion_depth;
#  if PY_VERSION_HEX < 0x030d0000
    tstate->trash.delete_nesting = state->trash_nesting;
#  endif
#  if HAS_STACK_LIMITS
    tstate->current_executor = state->executor;
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)tstate;
    impl->c_stack_top = limits->top;
    impl->c_stack_soft_limit = limits->soft_limit;
    impl->c_stack_hard_limit = limits->hard_limit;
#  else
    tstate->c_recursion_remaining = state->c_recursion_remaining;
#  endif
#endif
#if PY_VERSION_HEX >= 0x030f0000
    /* a sampling profiler's cache of where it stopped last: not a frame of this stack */
    tstate->last_profiled_frame = NULL;
#endif
    (void)limits;
}

/* The rest of a load, on the stack that it belongs to; also when that was saved and is not left after all.
   3.11 keeps "tracing is on" in the struct that has been exchanged. Free-threaded builds: the locks of single objects
   that calls on this stack hold are taken again. */
static inline __attribute__((always_inline)) void
python_state_arrive(PyThreadState *tstate)
{
#ifdef Py_GIL_DISABLED
    if (tstate->critical_section != 0)
        _PyCriticalSection_Resume(tstate);
#endif
#if PY_VERSION_HEX < 0x030c0000
    bool wanted = tstate->c_tracefunc != NULL || tstate->c_profilefunc != NULL;
    tstate->cframe->use_tracing = (wanted && tstate->tracing == 0) ? 255 : 0;
#else
    (void)tstate;
#endif
}

/* The state of a greenlet that is about to run for the first time, on data-stack chunk `root`. */
static inline void
python_state_start(PythonState *state, PyThreadState *tstate, _PyStackChunk *root)
{
    state->chunk = root;
    /* one entry is skipped so that popping the last frame never frees the chunk itself */
    state->datastack_top = &root->data[1];
    state->datastack_limit = (PyObject **)((char *)root + root->size);
    state->exc_base.exc_value = NULL;
    state->exc_base.previous_item = NULL;
    state->exc_info = &state->exc_base;
#ifdef Py_GIL_DISABLED
    state->critical_section = 0;
#endif
    state->recursion_depth = 0;
    state->tracing = 0;
#if HAS_CFRAME
    memset(&state->cframe_base, 0, sizeof state->cframe_base);
    state->cframe_base.previous = &tstate->root_cframe;
    state->cframe = &state->cframe_base;
    state->trash_nesting = 0;
#elif HAS_BASE_FRAME
    state->frame = tstate->base_frame;
#else
    state->frame = NULL;
#endif
#if HAS_STACK_LIMITS
    state->executor = NULL;
#elif PY_VERSION_HEX >= 0x030d0000
    state->c_recursion_remaining = Py_C_RECURSION_LIMIT;
#elif PY_VERSION_HEX >= 0x030c0000
    state->c_recursion_remaining = C_RECURSION_LIMIT;
#endif
    (void)tstate;
}

static inline StackLimits
stack_limits_of(char *lowest, char *top)
{
    StackLimits limits = {.top = (uintptr_t)top};
#if HAS_STACK_LIMITS
    limits.hard_limit = (uintptr_t)lowest + _PyOS_STACK_MARGIN_BYTES;
    limits.soft_limit = (uintptr_t)lowest + 2 * _PyOS_STACK_MARGIN_BYTES;
#else
    (void)lowest;
#endif
    return limits;
}

static inline StackLimits
stack_limits_of_thread(PyThreadState *tstate)
{
    StackLimits limits = {0};
#if HAS_STACK_LIMITS
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)tstate;
    limits.top = impl->c_stack_top;
    limits.soft_limit = impl->c_stack_soft_limit;
    limits.hard_limit = impl->c_stack_hard_limit;
#endif
    (void)tstate;
    return limits;
}

/* Micro releases of 3.14 moved these fields once: a build for another one is found out at import. */
static inline bool
thread_state_layout_is_as_compiled(PyThreadState *tstate)
{
#if HAS_STACK_LIMITS
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)tstate;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return impl->c_stack_hard_limit < impl->c_stack_soft_limit && impl->c_stack_soft_limit < here
        && here < impl->c_stack_top && impl->c_stack_top - here < ((uintptr_t)1 << 32);
#else
    (void)tstate;
    return true;
#endif
}

#endif
