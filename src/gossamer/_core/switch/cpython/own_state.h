/* What belongs to a green thread and to the raw greenlets below it, and not to a stack: thread locals, and what asyncio
   runs. See runtime/own_state.c for when it moves. */
#ifndef GOSSAMER_CPYTHON_OWN_STATE_H
#define GOSSAMER_CPYTHON_OWN_STATE_H

#include "version.h"

/* Thread locals. 3.13 and later: a key and a sentinel tell threads apart; before, the dictionary itself.
   3.11, 3.12: asyncio keeps the running loop in the dictionary, and caches it under the thread state's
   number: so the number moves along. */
typedef struct {
    PyObject *dict;
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *key, *sentinel;
#else
    uint64_t id;
#endif
} LocalState;

/* What asyncio runs, and the hooks of asynchronous generators, which a loop puts there while it runs. 3.13: the task
   that runs is kept by loop, so it needs no care. */
typedef struct {
    PyObject *firstiter, *finalizer;
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *loop;
#endif
#if PY_VERSION_HEX >= 0x030e0000
    PyObject *task;
#endif
} LoopState;

static inline bool
loop_state_is_in_use(PyThreadState *tstate)
{
#if PY_VERSION_HEX >= 0x030d0000
    return ((_PyThreadStateImpl *)tstate)->asyncio_running_loop != NULL;
#else
    (void)tstate;
    return false;
#endif
}

/* Moves it out of the thread state, which has none then. */
static inline LoopState
loop_state_take(PyThreadState *tstate)
{
    LoopState state = {.firstiter = tstate->async_gen_firstiter, .finalizer = tstate->async_gen_finalizer};
    tstate->async_gen_firstiter = tstate->async_gen_finalizer = NULL;
#if PY_VERSION_HEX >= 0x030d0000
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)tstate;
    state.loop = impl->asyncio_running_loop;
    impl->asyncio_running_loop = NULL;
#  if PY_VERSION_HEX >= 0x030e0000
    state.task = impl->asyncio_running_task;
    impl->asyncio_running_task = NULL;
#  endif
#endif
    return state;
}

static inline void
loop_state_put(PyThreadState *tstate, LoopState state)
{
    tstate->async_gen_firstiter = state.firstiter;
    tstate->async_gen_finalizer = state.finalizer;
#if PY_VERSION_HEX >= 0x030d0000
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)tstate;
    impl->asyncio_running_loop = state.loop;
#  if PY_VERSION_HEX >= 0x030e0000
    impl->asyncio_running_task = state.task;
#  endif
#endif
}

static inline int
loop_state_traverse(const LoopState *state, visitproc visit, void *arg)
{
    Py_VISIT(state->firstiter);
    Py_VISIT(state->finalizer);
#if PY_VERSION_HEX >= 0x030d0000
    Py_VISIT(state->loop);
#endif
#if PY_VERSION_HEX >= 0x030e0000
    Py_VISIT(state->task);
#endif
    return 0;
}

/* Runs destructors. */
static inline void
loop_state_drop(LoopState state)
{
    Py_XDECREF(state.firstiter);
    Py_XDECREF(state.finalizer);
#if PY_VERSION_HEX >= 0x030d0000
    Py_XDECREF(state.loop);
#endif
#if PY_VERSION_HEX >= 0x030e0000
    Py_XDECREF(state.task);
#endif
}

/* Moves it out of the thread state; the number stays until another is put there. */
static inline LocalState
local_state_take(PyThreadState *tstate)
{
    LocalState state = {.dict = tstate->dict};
    tstate->dict = NULL;
#if PY_VERSION_HEX >= 0x030d0000
    state.key = tstate->threading_local_key;
    state.sentinel = tstate->threading_local_sentinel;
    tstate->threading_local_key = tstate->threading_local_sentinel = NULL;
#else
    state.id = tstate->id;
#endif
    return state;
}

static inline void
local_state_put(PyThreadState *tstate, LocalState state)
{
    tstate->dict = state.dict;
#if PY_VERSION_HEX >= 0x030d0000
    tstate->threading_local_key = state.key;
    tstate->threading_local_sentinel = state.sentinel;
#else
    tstate->id = state.id;
#endif
}

static inline bool
local_state_is_empty(const LocalState *state)
{
#if PY_VERSION_HEX >= 0x030d0000
    return state->dict == NULL && state->key == NULL && state->sentinel == NULL;
#else
    return state->dict == NULL;
#endif
}

static inline int
local_state_traverse(const LocalState *state, visitproc visit, void *arg)
{
    Py_VISIT(state->dict);
#if PY_VERSION_HEX >= 0x030d0000
    Py_VISIT(state->key);
    Py_VISIT(state->sentinel);
#endif
    return 0;
}

/* In the order in which the interpreter drops them at the end of a thread. Runs destructors. */
static inline void
local_state_drop(LocalState state)
{
    Py_XDECREF(state.dict);
#if PY_VERSION_HEX >= 0x030d0000
    Py_XDECREF(state.key);
    Py_XDECREF(state.sentinel);
#endif
}

#endif
