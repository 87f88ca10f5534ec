/* The parts of a switch that transfer.c, life.c and the hub share. */
#ifndef GOSSAMER_TRANSFER_H
#define GOSSAMER_TRANSFER_H

#include "message.h"

PyObject *arrive_attentively(struct thread *thread, GreenletObject *origin, PyObject *value);

/* The hub greenlet left one of its callbacks by an explicit switch, and the others have nothing more to
   do: as if they had switched to it with no arguments. */
PyObject *arrive_by_hand_off(struct thread *thread);

/* On the stack just entered by a transfer: takes out what was sent. The reference to the fiber that was
   left is dropped here: it may be the last one, and then other Python code runs first. */
static inline __attribute__((always_inline)) PyObject *
arrive(struct thread *thread)
{
    PyObject *value = thread->value;
    GreenletObject *origin = thread->origin;
    thread->value = NULL;
    thread->origin = NULL;
    if (unlikely(origin == NULL))
        return arrive_by_hand_off(thread);
    if (unlikely(thread->attention))
        return arrive_attentively(thread, origin, value);
    Py_DECREF(origin);
    return value;
}

/* own_state.c: loads the state that belongs to the green thread which `target` is part of. */
void own_state_enter(struct thread *thread, const struct fiber *target);

/* Whether more moves than the interpreter's fields. Many programs never see it true. */
static inline __attribute__((always_inline)) bool
moves_more(const struct thread *thread)
{
    return (thread->moves_own_state | thread->moves_cxx_exceptions) || loop_state_is_in_use(thread->tstate);
}

/* Before thread->current changes. */
static inline __attribute__((always_inline)) void
state_load(struct thread *thread, struct fiber *target, const StackLimits *limits)
{
    python_state_load(&target->python, thread->tstate, limits);
    if (likely(!moves_more(thread)))
        return;
    if (thread->moves_cxx_exceptions)
        cxx_exceptions_exchange(thread->current, target);
    if (thread->moves_own_state || loop_state_is_in_use(thread->tstate))
        own_state_enter(thread, target);
}

/* The reference to the target's object that its caller owns becomes that of thread->current. */
static inline __attribute__((always_inline)) void
become_current(struct thread *thread, struct fiber *target, GreenletObject *origin)
{
    thread->current = target;
    thread->origin = origin;
    target->slot->recently_used = true;
}

/* Gives a FRESH fiber its `run` (taken over), stack and first state; it is parked then. Returns -1 with
   MemoryError set; it keeps the `run` and stays FRESH. */
int fiber_start(struct thread *thread, struct fiber *fiber, PyObject *run);

/* Lets a parked fiber of this thread go on, with no value and no origin. The caller's reference to it
   becomes that of thread->current; the current fiber's has been handed to its wait before. Returns false
   when there is no memory for it, and nothing has happened. */
bool fiber_hand_off(struct thread *thread, struct fiber *next);

/* There was no memory to switch to a started fiber that has not been entered: FRESH again, as if nothing had been
   tried. */
void fiber_unstart(struct thread *thread, struct fiber *fiber);

/* The first ancestor of `*target`, itself included, that can run: parked, current, or FRESH and then started here. The
   caller's reference moves along: `*target` is that one's object, or that of the first that could not be started. NULL
   with an exception set. An exception that is being thrown (`message->value` NULL) stays set, unless it is GreenletExit
   for a dead one: that becomes the value. Runs any code, but none after what it returns was found able to run. */
struct fiber *resolve_for(struct thread *thread, GreenletObject **target, struct message *message);

/* GreenletExit that reaches the end of a greenlet is its result: takes it, or returns NULL. */
PyObject *exit_as_value(void);

/* Drops what the finished call held; `failed`: an exception is set, and stays so. */
void fiber_tidy(struct fiber *self, bool failed);

/* The rest of a finished fiber's life: hands `message` to the nearest ancestor that takes it. Returns what
   fiber_main() returns. */
void *fiber_bequeath(struct thread *thread, struct fiber *self, struct message message);

/* Raises MemoryError in the main greenlet, which alone can always go on. */
void *fiber_bequeath_no_memory(struct thread *thread, struct fiber *self);

/* Makes room for the stack of the one that a finished fiber leaves for. Returns false, without an exception, when there
   is no memory for that. */
bool stack_make_ready(struct fiber *self, struct fiber *heir);

/* The last switch of a finished fiber, after stack_make_ready(), to a parked one whose reference is taken over. `origin`
   is what that one is told of where control comes from: NULL for a hand-off by the hub. Returns what fiber_main()
   returns: on the way there nothing but returns may happen, on a stack that is anybody's already. */
void *leave_for_good(struct thread *thread, struct fiber *self, struct fiber *next, GreenletObject *origin);

/* Exchanges a finished fiber for one that starts, on the very stack they run on. */
void fiber_adopt_stack(struct thread *thread, struct fiber *finished, struct fiber *fresh);

#endif
