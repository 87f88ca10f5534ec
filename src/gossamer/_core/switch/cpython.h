/* Everything that differs between CPython versions, and nothing else.

   What a greenlet takes along when it is switched is a handful of fields of the interpreter's thread
   state. Which ones, and where they live, changes with each CPython release; the rest of the core
   only calls the functions of this header. Facts they rest on:

   - 3.11, 3.12: the current frame hangs off a `_PyCFrame` that lives on the C stack of the evaluation
     loop, so the pointer moves and the struct stays where it is. A new greenlet starts from a
     `_PyCFrame` of its own, kept in its PythonState. 3.11 keeps "is tracing on" in that struct: the
     flag is copied when another one becomes current.
   - 3.12 and later: the frame that enters the evaluation loop from C lives on the C stack. While a
     stack slice is copied out, such frames must be cut out of the `previous` chain (`frame_link`).
   - 3.12, 3.13: C recursion is counted, per greenlet. 3.14 and later: it is measured against the
     limits of the C stack, which follow the stack that is running.
   - 3.14 and later: frames hold tagged references; one whose tag says "not counted" must not be shown
     to the garbage collector.
   - 3.15: a stack starts at the thread's `base_frame`, so that profilers see that it is complete.
   - Of a suspended frame, the locals are owned references on every version. How far its evaluation
     stack reaches is written down from 3.14 on; before, only while it calls a Python function, or when
     the C function it called tells where its arguments end. What is not known is left out: a reference
     the collector is not shown keeps its object alive, never the reverse.

   To add a version: compare `Include/cpython/pystate.h` and `internal/pycore_interpframe_structs.h`
   (or `pycore_frame.h`) with the previous release's, then walk through this file from the top. */
#ifndef GOSSAMER_CPYTHON_H
#define GOSSAMER_CPYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pythread.h>
#include <semaphore.h>

#if PY_VERSION_HEX < 0x030b0000 || PY_VERSION_HEX >= 0x03100000
#  error "Gossamer knows the interpreter's inner layout for CPython 3.11 to 3.15 only"
#endif

#define Py_BUILD_CORE 1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#if PY_VERSION_HEX >= 0x030e0000
#  include "internal/pycore_interpframe_structs.h"
#  include "internal/pycore_tstate.h"
#  include "internal/pycore_pythonrun.h"
#else
#  include "internal/pycore_frame.h"
#  if PY_VERSION_HEX >= 0x030d0000
#    ifdef Py_GIL_DISABLED
#      include "internal/pycore_gc.h"  /* what 3.13's pycore_tstate.h uses and does not include */
#    endif
#    include "internal/pycore_tstate.h"
#  endif
#endif
#pragma GCC diagnostic pop

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#define HAS_CFRAME (PY_VERSION_HEX < 0x030d0000)
#define HAS_ENTRY_FRAMES_ON_STACK (PY_VERSION_HEX >= 0x030c0000)
/* 3.11 remembers what a method call found only for objects without room for a __dict__, or with one. */
#define METHOD_CACHE_WANTS_DICT (PY_VERSION_HEX < 0x030c0000)
/* Public from 3.13 on, and deprecated under its private name. */
#if PY_VERSION_HEX >= 0x030d0000
#  define hash_of_pointer Py_HashPointer
#else
#  define hash_of_pointer _Py_HashPointer
#endif
#define HAS_STACK_LIMITS (PY_VERSION_HEX >= 0x030e0000)

typedef struct _PyInterpreterFrame InterpreterFrame;

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

/* 3.11 keeps "tracing is on" in the struct that has just been exchanged; to be called on the new stack. */
static inline __attribute__((always_inline)) void
python_state_arrive(PyThreadState *tstate)
{
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
    state->recursion_depth = 0;
    state->tracing = 0;
#if HAS_CFRAME
    memset(&state->cframe_base, 0, sizeof state->cframe_base);
    state->cframe_base.previous = &tstate->root_cframe;
    state->cframe = &state->cframe_base;
    state->trash_nesting = 0;
#elif PY_VERSION_HEX >= 0x030f0000
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

/* ---- what belongs to a green thread, and to the raw greenlets below it ---- */

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

/* What asyncio runs. 3.13: the task that runs is kept by loop, so it needs no care. */
typedef struct {
    PyObject *loop, *task;
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
    LoopState state = {0};
#if PY_VERSION_HEX >= 0x030d0000
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)tstate;
    state.loop = impl->asyncio_running_loop;
    impl->asyncio_running_loop = NULL;
#  if PY_VERSION_HEX >= 0x030e0000
    state.task = impl->asyncio_running_task;
    impl->asyncio_running_task = NULL;
#  endif
#endif
    (void)tstate;
    return state;
}

static inline void
loop_state_put(PyThreadState *tstate, LoopState state)
{
#if PY_VERSION_HEX >= 0x030d0000
    _PyThreadStateImpl *impl = (_PyThreadStateImpl *)tstate;
    impl->asyncio_running_loop = state.loop;
#  if PY_VERSION_HEX >= 0x030e0000
    impl->asyncio_running_task = state.task;
#  endif
#endif
    (void)tstate;
    (void)state;
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

/* ---- the frames of a suspended greenlet ---- */

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

/* ---- objects of the select module ---- */

/* What select.poll() makes. `descriptors` is what the last call of poll() asked for. */
typedef struct {
    PyObject_HEAD
    PyObject *dict;                  /* descriptor: events */
    int up_to_date, length;          /* of `descriptors`, against `dict` */
    struct pollfd *descriptors;
    int running;                     /* a call of poll() is under way: another one raises */
} PollObject;

/* What select.epoll() makes. */
typedef struct {
    PyObject_HEAD
    int descriptor;                  /* -1: closed */
} EpollObject;

/* ---- the socket object, which the module _socket keeps to itself ---- */

/* The same on every version; points are installed only where a real socket shows it to be so. */
typedef struct {
    PyObject_HEAD
    int descriptor;                  /* -1: closed */
    int family, type, protocol;
    PyObject *(*error_handler)(void);
    int64_t timeout;                 /* nanoseconds; negative: none, 0: not blocking */
} SocketObject;

/* ---- the TLS object, which the module _ssl keeps to itself ---- */

/* What the socket of the module ssl works through. The same on every version, and probed like the above. */
typedef struct {
    PyObject_HEAD
    PyObject *socket;                /* weak reference to the socket; NULL: it works on memory */
} TlsObject;

/* ---- small differences of the C API ---- */

/* What a weak reference refers to: a new reference, or NULL without an exception. */
static inline PyObject *
weak_target(PyObject *reference)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *target;
    return PyWeakref_GetRef(reference, &target) > 0 ? target : NULL;
#else
    PyObject *target = PyWeakref_GET_OBJECT(reference);
    return target != Py_None ? Py_NewRef(target) : NULL;
#endif
}

#if PY_VERSION_HEX < 0x030c0000
/* The one exception object of the pending error, as later versions keep it. */
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

static inline void
PyErr_SetRaisedException(PyObject *value)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(value)), value, PyException_GetTraceback(value));
}
#endif

/* Has the interpreter refuse the module in sub-interpreters; 3.11 cannot. */
#if PY_VERSION_HEX >= 0x030c0000
#  define MAIN_INTERPRETER_ONLY_SLOT {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#else
#  define MAIN_INTERPRETER_ONLY_SLOT
#endif

/* What the end of a thread's function by an exception that nobody caught is reported as. */
static inline void
thread_error_report(PyObject *function)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyErr_FormatUnraisable("Exception ignored in thread started by %R", function);
#else
    _PyErr_WriteUnraisableMsg("in thread started by", function);
#endif
}

#if PY_VERSION_HEX >= 0x030d0000
/* A _thread._ThreadHandle: the face of what really tells a thread's state. */
struct thread_handle_layout {
    PyObject_HEAD
    void *inner;
};

static inline void
thread_handles_exchange(PyObject *one, PyObject *other)
{
    struct thread_handle_layout *first = (struct thread_handle_layout *)one;
    struct thread_handle_layout *second = (struct thread_handle_layout *)other;
    void *inner = first->inner;
    first->inner = second->inner;
    second->inner = inner;
}
#endif

/* Whether the calling thread, whose state this is, holds the GIL. */
static inline bool
thread_holds_gil(PyThreadState *tstate)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyThreadState_GetUnchecked() == tstate;
#else
    return _PyThreadState_UncheckedGet() == tstate;
#endif
}

static inline bool
interpreter_is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

/* Makes a new object of one that lay on a free list. */
static inline void
object_revive(PyObject *object)
{
    _Py_NewReference(object);
}

/* Forgets that the collector has finalized `object` once, so that it can be ended again. */
static inline void
object_forget_finalized(PyObject *object)
{
#ifdef Py_GIL_DISABLED
    object->ob_gc_bits &= (uint8_t)~2;
#else
    ((uintptr_t *)object)[-1] &= ~(uintptr_t)1;  /* PyGC_Head._gc_prev */
#endif
}

/* ---- inside _thread's lock objects ----

   Both kinds are taken and released here without a call through Python; points probe at installation
   that they look like this. They held a pointer to a lock of the thread library first and hold a one-byte
   mutex now: plain locks since some micro release of 3.13, RLock since 3.14. */

#if PY_VERSION_HEX < 0x030e0000
typedef PyThread_type_lock RLockMutex;
#else
typedef PyMutex RLockMutex;
#endif

/* A plain lock up to 3.12, and in the first micro releases of 3.13. */
struct pointer_lock {
    PyObject_HEAD
    PyThread_type_lock lock;
    PyObject *weakrefs;
    char locked;
};

#if PY_VERSION_HEX >= 0x030d0000
/* A plain lock in later ones, and from 3.14 on. */
struct mutex_lock {
    PyObject_HEAD
    PyMutex lock;
};
#endif

struct rlock_layout {
    PyObject_HEAD
    RLockMutex lock;
#if PY_VERSION_HEX < 0x030e0000
    unsigned long owner;
    unsigned long count;             /* 0: free */
#else
    unsigned long long owner;        /* 0: free */
    size_t level;                    /* acquired once: 0 */
#endif
};

/* A lock is a semaphore on Linux. PyThread_acquire_lock_timed() would read the clock even for a timeout of 0, which is
   half of what trying costs. Where an interpreter was built with something else, the points' probes find out. */
static inline bool
pointer_lock_try(PyThread_type_lock lock)
{
    return sem_trywait((sem_t *)lock) == 0;
}

/* A lock of the thread library, as C code uses it: a semaphore up to 3.14, then a one-byte mutex. */
static inline bool
pointer_lock_is_taken(PyThread_type_lock lock)
{
#if PY_VERSION_HEX >= 0x030f0000
    return __atomic_load_n((uint8_t *)lock, __ATOMIC_RELAXED) & 1;
#else
    int value;
    return sem_getvalue((sem_t *)lock, &value) == 0 && value <= 0;
#endif
}

/* ---- inside _io's objects: the same on every version, and probed ---- */

struct file_layout {
    PyObject_HEAD
    int descriptor;                  /* -1: closed */
    unsigned char bits;
};

static inline bool
file_is_readable(const struct file_layout *file)
{
    return file->bits & 0x02;
}

static inline bool
file_is_writable(const struct file_layout *file)
{
    return file->bits & 0x04;
}

/* Whether it is known to be; two bits: 1, 0, or -1 as long as nobody has asked. */
static inline bool
file_is_seekable(const struct file_layout *file)
{
    return (file->bits >> 4 & 3) == 1;
}

static inline void
file_note_seekable(struct file_layout *file)
{
    file->bits = (unsigned char)((file->bits & ~0x30) | 0x10);
}

struct buffered_layout {
    PyObject_HEAD
    PyObject *raw;
    int state[5];
    int64_t position;
    char *buffer;
    int64_t places[5];
    PyThread_type_lock lock;
    unsigned long owner;             /* 0: nobody is inside */
    Py_ssize_t size;
};

#if PY_VERSION_HEX >= 0x030d0000
static inline bool
mutex_try(PyMutex *mutex)
{
    uint8_t bits = __atomic_load_n(&mutex->_bits, __ATOMIC_RELAXED);
    return !(bits & 1)
        && __atomic_compare_exchange_n(&mutex->_bits, &bits, bits | 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
#endif

static inline bool
rlock_mutex_try(RLockMutex *lock)
{
#if PY_VERSION_HEX < 0x030e0000
    return pointer_lock_try(*lock);
#else
    return mutex_try(lock);
#endif
}

static inline void
rlock_mutex_release(RLockMutex *lock)
{
#if PY_VERSION_HEX < 0x030e0000
    PyThread_release_lock(*lock);
#else
    PyMutex_Unlock(lock);
#endif
}

/* Micro releases of 3.13 differ, so the object tells: a mutex is one byte. */
static inline bool
lock_is_mutex(PyObject *lock)
{
#if PY_VERSION_HEX >= 0x030e0000
    (void)lock;
    return true;
#elif PY_VERSION_HEX >= 0x030d0000
    return Py_TYPE(lock)->tp_basicsize < (Py_ssize_t)sizeof(struct pointer_lock);
#else
    (void)lock;
    return false;
#endif
}

static inline bool
lock_is_locked(PyObject *lock)
{
#if PY_VERSION_HEX >= 0x030d0000
    if (lock_is_mutex(lock))
        return ((struct mutex_lock *)lock)->lock._bits & 1;
#endif
    return ((struct pointer_lock *)lock)->locked;
}

static inline bool
lock_try(PyObject *lock)
{
#if PY_VERSION_HEX >= 0x030d0000
    if (lock_is_mutex(lock))
        return mutex_try(&((struct mutex_lock *)lock)->lock);
#endif
    struct pointer_lock *plain = (struct pointer_lock *)lock;
    if (!pointer_lock_try(plain->lock))
        return false;
    plain->locked = 1;
    return true;
}

/* Of a locked one. */
static inline void
lock_release(PyObject *lock)
{
#if PY_VERSION_HEX >= 0x030d0000
    if (lock_is_mutex(lock)) {
        PyMutex_Unlock(&((struct mutex_lock *)lock)->lock);
        return;
    }
#endif
    struct pointer_lock *plain = (struct pointer_lock *)lock;
    plain->locked = 0;
    PyThread_release_lock(plain->lock);
}

static inline unsigned long
rlock_owner(PyObject *rlock)
{
    return (unsigned long)((struct rlock_layout *)rlock)->owner;
}

/* How often its owner has acquired it. */
static inline unsigned long
rlock_count(PyObject *object)
{
    struct rlock_layout *rlock = (struct rlock_layout *)object;
#if PY_VERSION_HEX < 0x030e0000
    return rlock->count;
#else
    return rlock->owner != 0 ? rlock->level + 1 : 0;
#endif
}

static inline void
rlock_set(PyObject *object, unsigned long owner, unsigned long count)
{
    struct rlock_layout *rlock = (struct rlock_layout *)object;
    rlock->owner = owner;
#if PY_VERSION_HEX < 0x030e0000
    rlock->count = count;
#else
    rlock->level = count > 0 ? count - 1 : 0;
#endif
}

#endif
