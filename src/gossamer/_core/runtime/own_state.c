/* The state that belongs to a green thread rather than to the OS thread that runs it: thread locals, and
   the loop that asyncio runs.

   The interpreter keeps it in the thread state. It is exchanged when a switch leads from one owner to
   another; an owner is a green thread with all raw greenlets below it, or the OS thread with the rest:
   its main greenlet, the hub greenlet, and what descends from those. The green thread's is made lazily:
   it starts with nothing, and the interpreter makes what is asked for.

   - Thread locals move only while core.green_threads_own_locals. asyncio's loop moves always: the first
     switch away from a running one sets thread->moves_own_state.
   - `local_owner`, `loop_owner` say whose is loaded; what is loaded is nowhere else. So a running owner's
     own_state is empty, and what the collector is shown is never shown twice.
   - This runs in the middle of a switch: nothing is dropped, and no Python code runs.
   - The capsule that tells the end of a thread (switch/thread.c) lies in the OS thread's own dictionary.
     A thread ends on its main greenlet, where that is loaded. Where the interpreter takes down thread
     states that stopped elsewhere, it is put back before (own_states_stay) or dropped by us
     (own_states_after_fork). */
#include "hub.h"
#include "../switch/transfer.h"

#include <stdlib.h>

struct own_state {
    LocalState local;
    LoopState loop;
};

enum { PASSES = 8 };                 /* destructors may make new thread locals; not for ever */

GreenThreadObject *
green_thread_of(const struct fiber *fiber)
{
    for (; fiber != NULL && !fiber->is_main; fiber = fiber->parent != NULL ? fiber->parent->fiber : NULL)
        if (fiber->is_green)
            return (GreenThreadObject *)fiber->object;
    return NULL;
}

static struct own_state *
own_state_of(GreenThreadObject *object)
{
    if (object->own == NULL && (object->own = calloc(1, sizeof *object->own)) == NULL)
        Py_FatalError("gossamer: no memory for the state of a green thread");
    return object->own;
}

/* ---- exchanging ---- */

static void
loop_exchange(struct thread *thread, GreenThreadObject *to)
{
    GreenThreadObject *from = thread->loop_owner;
    LoopState state = loop_state_take(thread->tstate);
    if (from == NULL)
        thread->loop = state;
    else if (state.loop != NULL || state.task != NULL)
        own_state_of(from)->loop = state;
    LoopState *stored = to == NULL ? &thread->loop : to->own != NULL ? &to->own->loop : NULL;
    if (stored != NULL) {
        loop_state_put(thread->tstate, *stored);
        *stored = (LoopState){0};
    }
    thread->loop_owner = to;
}

/* What a green thread starts with. */
static LocalState
local_state_fresh(GreenThreadObject *object)
{
    LocalState state = {0};
#if PY_VERSION_HEX < 0x030d0000
    if (object->state_id == 0)
        object->state_id = ++core.own_states | (uint64_t)1 << 62;
    state.id = object->state_id;
#else
    (void)object;
#endif
    return state;
}

static void
local_exchange(struct thread *thread, GreenThreadObject *to)
{
    GreenThreadObject *from = thread->local_owner;
    LocalState state = local_state_take(thread->tstate);
    if (from == NULL)
        thread->local = state;
    else if (!local_state_is_empty(&state))
        own_state_of(from)->local = state;
    if (to == NULL) {
        local_state_put(thread->tstate, thread->local);
        thread->local = (LocalState){0};
    }
    else if (to->own != NULL && !local_state_is_empty(&to->own->local)) {
        local_state_put(thread->tstate, to->own->local);
        to->own->local = (LocalState){0};
    }
    else {
        local_state_put(thread->tstate, local_state_fresh(to));
    }
    thread->local_owner = to;
}

/* A loop that runs by now was started by whoever runs. */
static void
start_moving(struct thread *thread)
{
    if (thread->moves_own_state)
        return;
    thread->moves_own_state = true;
    core.own_states++;
    thread->loop_owner = loop_state_is_in_use(thread->tstate) ? green_thread_of(thread->current) : NULL;
}

void
own_state_enter(struct thread *thread, const struct fiber *target)
{
    GreenThreadObject *owner = green_thread_of(target);
    if (!thread->moves_own_state) {
        if (green_thread_of(thread->current) == owner)
            return;
        start_moving(thread);
    }
    if (thread->loop_owner != owner)
        loop_exchange(thread, owner);
    GreenThreadObject *local_owner = core.green_threads_own_locals ? owner : NULL;
    if (thread->local_owner != local_owner)
        local_exchange(thread, local_owner);
}

void
own_states_move(bool locals_too)
{
    core.green_threads_own_locals = locals_too;
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next) {
        if (locals_too)
            start_moving(thread);
        if (thread->moves_own_state)
            own_state_enter(thread, thread->current);
    }
}

/* ---- the end ---- */

void
own_state_end(GreenThreadObject *object)
{
    struct thread *thread = current_thread;
    for (int pass = 0; pass < PASSES && thread->local_owner == object; pass++) {
        LocalState state = local_state_take(thread->tstate);
        if (local_state_is_empty(&state))
            break;
        local_state_drop(state);
    }
    if (thread->loop_owner == object && loop_state_is_in_use(thread->tstate)) {
        LoopState state = loop_state_take(thread->tstate);
        Py_XDECREF(state.loop);
        Py_XDECREF(state.task);
    }
}

int
own_state_traverse(GreenThreadObject *object, visitproc visit, void *arg)
{
    struct own_state *own = object->own;
    if (own == NULL)
        return 0;
    Py_VISIT(own->loop.loop);
    Py_VISIT(own->loop.task);
    return local_state_traverse(&own->local, visit, arg);
}

void
own_state_clear(GreenThreadObject *object)
{
    struct own_state *own = object->own;
    if (own == NULL)
        return;
    object->own = NULL;
    struct own_state state = *own;
    free(own);
    if (interpreter_is_finalizing())
        return;                      /* no destructor runs in a half-gone interpreter: given up */
    local_state_drop(state.local);
    Py_XDECREF(state.loop.loop);
    Py_XDECREF(state.loop.task);
}

/* A raw greenlet below it that got another parent may still run on its state. */
void
own_state_forget(GreenThreadObject *object)
{
    if (likely(core.own_states == 0))
        return;
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next) {
        if (thread->loop_owner == object)
            loop_exchange(thread, NULL);
        if (thread->local_owner == object)
            local_exchange(thread, NULL);
    }
}

void
own_states_stay(void)
{
    core.green_threads_own_locals = false;
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next)
        if (thread->local_owner != NULL)
            local_exchange(thread, NULL);
}

/* Their thread states are gone, and cleared what was loaded. Dropping the dictionary ends the thread. */
void
own_states_after_fork(void)
{
    for (struct thread *thread = core.threads, *next; thread != NULL; thread = next) {
        next = thread->next;
        if (thread == current_thread || thread->local_owner == NULL)
            continue;
        LocalState state = thread->local;
        thread->local = (LocalState){0};
        thread->local_owner = thread->loop_owner = NULL;
        local_state_drop(state);
        next = core.threads;
    }
}
