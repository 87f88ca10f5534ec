/* Switching from one fiber to another.

   The fast path (Greenlet_switch to a parked fiber of this thread whose stack is resident) is: build the
   value, save the interpreter's fields, load the target's, swap registers. Everything else - new and
   dead targets, other threads, keywords, tracers, copied-out stacks - is found out by a few tests and
   takes the slow path, fiber_transfer(). */
#include "arguments.h"
#include "fiber.h"
#include "swap.h"
#include "transfer.h"
#include "../runtime/hub.h"

/* ---- arriving ---- */

__attribute__((noinline, cold)) PyObject *
arrive_attentively(struct thread *thread, GreenletObject *origin, PyObject *value)
{
    if (thread->tracer != NULL)
        value = trace_arrival(thread, origin, value);
    Py_DECREF(origin);
    return value;
}

__attribute__((noinline, cold)) PyObject *
arrive_by_hand_off(struct thread *thread)
{
    int traced = thread->tracer != NULL ? trace_hand_off(thread) : 0;
    drop_finished(thread);
    if (unlikely(thread->current->struck != NULL) && thread->hub != NULL) {
        PyObject *struck = hub_take_struck(thread->hub);
        if (struck != NULL)
            hub_put_off(thread->hub, struck);
        Py_XDECREF(struck);
    }
    return traced == 0 ? Py_NewRef(core.empty_tuple) : NULL;
}

/* ---- between parked fibers ---- */

/* The current fiber has to make room for the target's slice in the very stack it runs on. Returns false
   when there is no memory for that, with everything as before. */
static bool
swap_within_slot(struct thread *thread, struct fiber *current, struct fiber *target)
{
    sanitizer_leave(&current->fake_stack, target->slot->low, slot_size(target->slot));
    swap_stacks_via(&current->sp, core.scratch, current, target);
    sanitizer_arrive(current->fake_stack);
    if (likely(!thread->exchange_failed))
        return true;
    thread->exchange_failed = false;
    state_load(thread, current, &current->slot->limits);
    thread->current = current;
    thread->origin = NULL;
    return false;
}

/* The switch is undone; a target that was started for it is FRESH again. */
static PyObject *
no_memory_to_switch(struct thread *thread, struct fiber *target)
{
    python_state_arrive(thread->tstate);
    if (!target->entered)
        fiber_unstart(thread, target);
    message_drop(message_take(thread));
    PyErr_Clear();
    Py_DECREF(target->object);
    return PyErr_NoMemory();
}

/* The part of every switch that changes the stack. */
static inline __attribute__((always_inline)) void
stack_change(struct fiber *current, struct fiber *target)
{
    sanitizer_leave(&current->fake_stack, target->slot->low, slot_size(target->slot));
    if (likely(target->entered))
        swap_stacks(&current->sp, target->sp);
    else
        swap_stacks_and_enter(&current->sp, target->sp);
    sanitizer_arrive(current->fake_stack);
}

/* Where more has to move than registers and a few fields: a stack, or what belongs to green threads. */
static __attribute__((noinline)) PyObject *
swap_with_care(struct thread *thread, struct fiber *target)
{
    struct fiber *current = thread->current;
    bool same_slot = current->slot == target->slot;
    if (!same_slot && !fiber_is_resident(target)) {
        if (occupant_copy_out(target->slot) < 0)
            return no_memory_to_switch(thread, target);
        slice_copy_in(target);
    }
    state_load(thread, target, &target->slot->limits);
    become_current(thread, target, current->object);
    if (same_slot) {
        if (!swap_within_slot(thread, current, target))
            return no_memory_to_switch(thread, target);
    }
    else {
        stack_change(current, target);
    }
    python_state_arrive(thread->tstate);
    return arrive(thread);
}

/* To a parked fiber of this thread, not the current one. The value lies in the thread. The caller's
   reference to the target's object is taken over: nothing on this stack may keep alive what the
   collector cannot see. */
static inline __attribute__((always_inline)) PyObject *
swap_to(struct thread *thread, struct fiber *target)
{
    struct fiber *current = thread->current;
    PyThreadState *tstate = thread->tstate;
    struct slot *slot = target->slot;
    python_state_save(&current->python, tstate);
    if (unlikely(slot->occupant != target || moves_more(thread)))
        return swap_with_care(thread, target);
    python_state_load(&target->python, tstate, &slot->limits);
    become_current(thread, target, current->object);
    stack_change(current, target);
    python_state_arrive(tstate);
    return arrive(thread);
}

bool
fiber_hand_off(struct thread *thread, struct fiber *next)
{
    struct fiber *current = thread->current;
    PyThreadState *tstate = thread->tstate;
    struct slot *slot = next->slot;
    bool within_slot = false;
    python_state_save(&current->python, tstate);
    if (unlikely(slot->occupant != next)) {
        within_slot = current->slot == slot;
        if (!within_slot) {
            if (occupant_copy_out(slot) < 0) {
                python_state_arrive(tstate);
                return false;
            }
            slice_copy_in(next);
        }
    }
    state_load(thread, next, &slot->limits);
    thread->left = current->object;
    thread->current = next;
    slot->recently_used = true;
    bool left = true;
    if (unlikely(within_slot))
        left = swap_within_slot(thread, current, next);
    else
        stack_change(current, next);
    python_state_arrive(tstate);
    return left;
}

/* ---- finding who is really switched to ---- */

struct thread *
fiber_thread(const struct fiber *fiber)
{
    while (fiber != NULL) {
        if (fiber->state == STARTED)
            return fiber->thread;
        fiber = fiber->parent != NULL ? fiber->parent->fiber : NULL;
    }
    return NULL;
}

/* Both may be gone by the time the first has said what it is. */
static void
wrong_thread(const struct thread *thread, const struct fiber *target)
{
    struct thread *other = fiber_thread(target);
    if (other == NULL) {
        PyErr_Format(core.error, "Cannot switch to a different thread, and that of %R has exited", target->object);
        return;
    }
    PyObject *current = Py_NewRef((PyObject *)thread->current->object);
    PyObject *expected = Py_NewRef((PyObject *)other->main->object);
    PyErr_Format(core.error, "Cannot switch to a different thread. Current: %R, Expected: %R", current, expected);
    Py_DECREF(current);
    Py_DECREF(expected);
}

static PyObject *
run_lookup(struct fiber *fiber)
{
    GreenletObject *object = fiber->object;
    if (Py_IS_TYPE(object, &Greenlet_Type) && object->dict == NULL) {
        if (fiber->run != NULL)
            return Py_NewRef(fiber->run);
        PyErr_SetObject(PyExc_AttributeError, core.str_run);
        return NULL;
    }
    return PyObject_GetAttr((PyObject *)object, core.str_run);
}

/* From a dead one on to the first above it that is not. Returns whether there was any to pass: each that is let go may
   run any code. */
static bool
pass_the_dead(GreenletObject **target)
{
    bool passed = false;
    for (struct fiber *fiber = (*target)->fiber; fiber->state == DEAD && fiber->parent != NULL; passed = true) {
        Py_SETREF(*target, (GreenletObject *)Py_NewRef((PyObject *)fiber->parent));
        fiber = (*target)->fiber;
    }
    return passed;
}

/* What resolve_for() does but for the exception. Looking up `run`, and dropping the one stored before, may run any code,
   which may let go of everything but the reference that is held here: what is known is asked again afterwards. */
static struct fiber *
resolve(struct thread *thread, GreenletObject **target)
{
    for (;;) {
        struct fiber *fiber = (*target)->fiber;
        if (fiber_thread(fiber) != thread) {
            wrong_thread(thread, fiber);
            return NULL;
        }
        if (fiber->state == STARTED)
            return fiber;
        if (pass_the_dead(target))
            continue;
        PyObject *run = run_lookup(fiber);
        if (run == NULL)
            return NULL;
        if (fiber->state == FRESH)
            Py_CLEAR(fiber->run);
        if (fiber->state != FRESH || fiber_thread(fiber) != thread) {
            Py_DECREF(run);
            continue;
        }
        return fiber_start(thread, fiber, run) == 0 ? fiber : NULL;
    }
}

PyObject *
exit_as_value(void)
{
    if (!PyErr_ExceptionMatches(core.greenlet_exit))
        return NULL;
    return PyErr_GetRaisedException();
}

struct fiber *
resolve_for(struct thread *thread, GreenletObject **target, struct message *message)
{
    PyObject *exception = NULL;
    if (message->value == NULL) {
        if ((*target)->fiber->state == DEAD)
            message->value = exit_as_value();
        if (message->value == NULL)
            exception = PyErr_GetRaisedException();
    }
    struct fiber *resolved = resolve(thread, target);
    if (exception != NULL) {
        if (resolved != NULL)
            PyErr_SetRaisedException(exception);
        else
            Py_DECREF(exception);
    }
    return resolved;
}

PyObject *
fiber_transfer(struct thread *thread, struct fiber *target)
{
    struct message message = message_take(thread);
    GreenletObject *held = (GreenletObject *)Py_NewRef((PyObject *)target->object);
    if (thread->doomed != NULL)
        thread_end_doomed(thread);
    target = resolve_for(thread, &held, &message);
    bool thrown = message.value == NULL;
    if (target == NULL) {
        message_drop(message);
        Py_DECREF(held);
        return NULL;
    }
    if (message.value != NULL && target->entered) {
        message = message_for_parked(message);
        if (message.value == NULL) {
            Py_DECREF(held);
            return NULL;
        }
    }
    if (thread->tracer != NULL)
        thread->thrown = thrown;
    if (target != thread->current) {
        message_put(thread, message);
        return swap_to(thread, target);
    }
    Py_DECREF(held);
    if (thread->tracer == NULL)
        return message.value;
    return trace_arrival(thread, target->object, message.value);
}

/* ---- Python's switch ---- */

static __attribute__((noinline)) PyObject *
switch_slowly(struct thread *thread, struct fiber *target, PyObject *const *args, Py_ssize_t count,
              PyObject *names)
{
    struct message message = {tuple_from(args, count), POSITIONAL};
    if (message.value == NULL)
        return NULL;
    if (names != NULL && PyTuple_GET_SIZE(names) > 0
        && (message.kwargs = keywords_from(args + count, names)) == NULL) {
        message_drop(message);
        return NULL;
    }
    message_put(thread, message);
    return fiber_transfer(thread, target);
}

#if METHOD_CACHE_WANTS_DICT
/* Not when it is made: most that are switched to once only start and end. The collector may run meanwhile, and any code
   with it: nothing is known of the target before. */
static __attribute__((noinline, cold)) void
dict_give(GreenletObject *greenlet)
{
    greenlet->dict = PyDict_New();
    if (greenlet->dict == NULL)
        PyErr_Clear();
}
#endif

PyObject *
Greenlet_switch(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct thread *thread = thread_get();
    struct fiber *target = ((GreenletObject *)self)->fiber;
    if (unlikely(thread == NULL))
        return NULL;
    struct fiber *current = thread->current;
    PyObject *result;
    current->call_end = args + count + (names != NULL ? PyTuple_GET_SIZE(names) : 0);
#if METHOD_CACHE_WANTS_DICT
    if (unlikely(((GreenletObject *)self)->dict == NULL && target->state == STARTED))
        dict_give((GreenletObject *)self);
#endif
    if (unlikely(count > 1 || names != NULL || target->state != STARTED || target->thread != thread
                 || target == current || thread->attention)) {
        result = switch_slowly(thread, target, args, count, names);
    }
    else {
        thread->value = Py_NewRef(count == 1 ? args[0] : core.empty_tuple);
        Py_INCREF(self);
        result = swap_to(thread, target);
    }
    current->call_end = NULL;
    return result;
}

PyObject *
greenlet_switch_args(GreenletObject *greenlet, PyObject *args, PyObject *kwargs)
{
    struct thread *thread = thread_get();
    if (thread == NULL)
        return NULL;
    struct message message = {Py_NewRef(args != NULL ? args : core.empty_tuple), POSITIONAL};
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)
        message.kwargs = Py_NewRef(kwargs);
    message_put(thread, message);
    return fiber_transfer(thread, greenlet->fiber);
}
