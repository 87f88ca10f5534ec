/* The state that belongs to a green thread rather than to the OS thread that runs it: thread locals,
   the loop that asyncio runs, and the hooks for asynchronous generators that come with it.

   The interpreter keeps it in the thread state. It is exchanged when a switch leads from one owner to
   another; an owner is a green thread with all raw greenlets below it, or the OS thread with the rest:
   its main greenlet, the hub greenlet, and what descends from those. The green thread's is made lazily:
   it starts with nothing, and the interpreter makes what is asked for.

   - Thread locals move only while core.green_threads_own_locals. asyncio's loop moves always: the first
     switch away from a running one sets thread->moves_own_state.
   - `local_owner`, `loop_owner` say whose is loaded; what is loaded is nowhere else. So what a running owner
     stores is empty, and what the collector is shown is never shown twice.
   - This runs in the middle of a switch: nothing is dropped, no Python code runs, and nothing may fail. So the
     place for it is part of the green thread.
   - The capsule that tells the end of a thread (switch/thread.c) lies in the OS thread's own dictionary.
     A thread ends on its main greenlet, where that is loaded. Where the interpreter takes down thread
     states that stopped elsewhere, it is put back before: at exit (own_states_stay), and in a forked child
     (own_states_return). */
#include "hub.h"
#include "../switch/transfer.h"

enum { PASSES = 8 };                 /* destructors may make new thread locals; not for ever */

GreenThreadObject *
green_thread_of(const struct fiber *fiber)
{
    for (; fiber != NULL && !fiber->is_main; fiber = fiber->parent != NULL ? fiber->parent->fiber : NULL)
        if (fiber->is_green)
            return (GreenThreadObject *)fiber->object;
    return NULL;
}

/* ---- exchanging ---- */

static void
loop_exchange(struct thread *thread, GreenThreadObject *to)
{
    GreenThreadObject *from = thread->loop_owner;
    *(from != NULL ? &from->own_loop : &thread->loop) = loop_state_take(thread->tstate);
    LoopState *stored = to != NULL ? &to->own_loop : &thread->loop;
    loop_state_put(thread->tstate, *stored);
    *stored = (LoopState){0};
    thread->loop_owner = to;
}

/* A green thread starts with nothing but a number. */
static void
local_state_number(LocalState *state)
{
#if LOCALS_GO_BY_NUMBER
    if (state->id == 0)
        state->id = ++core.own_states | (uint64_t)1 << 62;
#else
    (void)state;
#endif
}

static void
local_exchange(struct thread *thread, GreenThreadObject *to)
{
    GreenThreadObject *from = thread->local_owner;
    *(from != NULL ? &from->own_local : &thread->local) = local_state_take(thread->tstate);
    LocalState *stored = to != NULL ? &to->own_local : &thread->local;
    local_state_number(stored);
    local_state_put(thread->tstate, *stored);
    *stored = (LocalState){0};
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
    if (thread->loop_owner == object)
        loop_state_drop(loop_state_take(thread->tstate));
}

int
own_state_traverse(GreenThreadObject *object, visitproc visit, void *arg)
{
    int result = loop_state_traverse(&object->own_loop, visit, arg);
    return result != 0 ? result : local_state_traverse(&object->own_local, visit, arg);
}

void
own_state_clear(GreenThreadObject *object)
{
    LocalState local = object->own_local;
    LoopState loop = object->own_loop;
    object->own_local = (LocalState){0};
    object->own_loop = (LoopState){0};
    if (interpreter_is_finalizing())
        return;                      /* no destructor runs in a half-gone interpreter: given up */
    local_state_drop(local);
    loop_state_drop(loop);
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
own_states_return(struct thread *thread)
{
    if (thread->loop_owner != NULL)
        loop_exchange(thread, NULL);
    if (thread->local_owner != NULL)
        local_exchange(thread, NULL);
}

void
own_states_stay(void)
{
    core.green_threads_own_locals = false;
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next)
        if (thread->local_owner != NULL)
            local_exchange(thread, NULL);
}
