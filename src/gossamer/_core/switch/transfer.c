/* Switching: from one fiber to another, into a new one, out of a finished one.

   The fast path (Greenlet_switch to a parked fiber of this thread whose stack is resident) is: build the
   value, save the interpreter's fields, load the target's, swap registers. Everything else - new and
   dead targets, other threads, keywords, tracers, copied-out stacks - is found out by a few tests and
   takes the slow path, fiber_transfer(). */
#include "fiber.h"
#include "datastack.h"
#include "swap.h"
#include "transfer.h"
#include "../runtime/hub.h"

#include <string.h>

/* ---- values ---- */

static inline PyObject *
tuple_from(PyObject *const *items, Py_ssize_t count)
{
    if (count == 0)
        return Py_NewRef(core.empty_tuple);
    PyObject *tuple = PyTuple_New(count);
    if (tuple == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(items[i]));
    return tuple;
}

static inline struct message
message_take(struct thread *thread)
{
    struct message message = {thread->value, thread->kwargs};
    thread->value = thread->kwargs = NULL;
    return message;
}

static inline void
message_put(struct thread *thread, struct message message)
{
    thread->value = message.value;
    thread->kwargs = message.kwargs;
}

static void
message_drop(struct message message)
{
    Py_XDECREF(message.value);
    if (message.kwargs != POSITIONAL)
        Py_XDECREF(message.kwargs);
}

/* What switch() returns for a message: () for no arguments, the one positional argument, the tuple of
   several, the dict of keywords, or both as a pair. */
static struct message
message_for_parked(struct message message)
{
    if (message.kwargs == POSITIONAL) {
        if (PyTuple_GET_SIZE(message.value) == 1) {
            PyObject *only = Py_NewRef(PyTuple_GET_ITEM(message.value, 0));
            Py_SETREF(message.value, only);
        }
    }
    else if (message.kwargs != NULL) {
        if (PyTuple_GET_SIZE(message.value) == 0) {
            Py_SETREF(message.value, message.kwargs);
        }
        else {
            PyObject *pair = PyTuple_Pack(2, message.value, message.kwargs);
            Py_DECREF(message.kwargs);
            Py_SETREF(message.value, pair);
        }
    }
    message.kwargs = NULL;
    return message;
}

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
    return traced == 0 ? Py_NewRef(core.empty_tuple) : NULL;
}

/* ---- starting ---- */

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

static void
started_link(struct thread *thread, struct fiber *fiber)
{
    fiber->previous = NULL;
    fiber->next = thread->started;
    if (fiber->next != NULL)
        fiber->next->previous = fiber;
    thread->started = fiber;
    core.alive++;
}

void
started_unlink(struct thread *thread, struct fiber *fiber)
{
    if (fiber->previous != NULL)
        fiber->previous->next = fiber->next;
    else
        thread->started = fiber->next;
    if (fiber->next != NULL)
        fiber->next->previous = fiber->previous;
    core.alive--;
}

int
fiber_start(struct thread *thread, struct fiber *fiber, PyObject *run)
{
    fiber->run = run;
    _PyStackChunk *root = root_chunk_take();
    if (root == NULL)
        return -1;
    struct slot *slot = slot_acquire(thread);
    if (slot == NULL) {
        root_chunk_give(root);
        return -1;
    }
    size_t size = INITIAL_FRAME_WORDS * sizeof(uint64_t);
    fiber->slot = slot;
    fiber->sp = slot->top - size;
    char *frame = fiber->sp;
    if (slot->occupant != NULL && (frame = slice_new(fiber, size)) == NULL) {
        slot_release(thread, slot);
        root_chunk_give(root);
        return -1;
    }
    if (slot->occupant == NULL)
        slot->occupant = fiber;
    initial_frame_write((uint64_t *)frame);
    fiber->root_chunk = root;
    python_state_start(&fiber->python, thread->tstate, root);
    fiber->thread = thread;
    fiber->state = STARTED;
    /* the collector may have found it unreachable once, unstarted; from now on that means something */
    object_forget_finalized((PyObject *)fiber->object);
    started_link(thread, fiber);
    return 0;
}

/* There was no memory to switch to it after all: FRESH again, as if nothing had been tried. */
static void
fiber_unstart(struct thread *thread, struct fiber *fiber)
{
    if (fiber->slot->occupant == fiber)
        fiber->slot->occupant = NULL;
    else
        core.copied_out--;
    slot_release(thread, fiber->slot);
    fiber->slot = NULL;
    slice_discard(fiber);
    root_chunk_give(fiber->root_chunk);
    fiber->root_chunk = NULL;
    started_unlink(thread, fiber);
    fiber->thread = NULL;
    fiber->state = FRESH;
}

/* ---- between parked fibers ---- */

/* Most programs never see it true: see own_state.c. */
static inline __attribute__((always_inline)) bool
moves_own_state(const struct thread *thread)
{
    return thread->moves_own_state || loop_state_is_in_use(thread->tstate);
}

static inline __attribute__((always_inline)) void
state_load(struct thread *thread, const struct fiber *target, const StackLimits *limits)
{
    python_state_load(&target->python, thread->tstate, limits);
    if (unlikely(moves_own_state(thread)))
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

/* Runs on the scratch stack, between two fibers that share a slot. */
__attribute__((visibility("hidden"))) void *
slice_exchange(struct fiber *leaving, struct fiber *target)
{
    if (leaving != NULL) {
        if (slice_reserve(leaving) < 0) {
            target->thread->exchange_failed = true;
            return leaving->sp;
        }
        slice_copy_out(leaving);
    }
    slice_copy_in(target);
    return target->sp;
}

static int
occupant_copy_out(struct slot *slot)
{
    if (slot->occupant == NULL)
        return 0;
    if (slice_reserve(slot->occupant) < 0)
        return -1;
    slice_copy_out(slot->occupant);
    return 0;
}

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
    message_drop(message_take(thread));
    PyErr_Clear();
    if (!target->entered)
        fiber_unstart(thread, target);
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
    if (unlikely(slot->occupant != target || moves_own_state(thread)))
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
            if (occupant_copy_out(slot) < 0)
                return false;
            slice_copy_in(next);
        }
    }
    state_load(thread, next, &slot->limits);
    thread->left = current->object;
    thread->current = next;
    slot->recently_used = true;
    if (unlikely(within_slot)) {
        if (!swap_within_slot(thread, current, next))
            return false;
    }
    else {
        stack_change(current, next);
    }
    python_state_arrive(tstate);
    return true;
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

static void
wrong_thread(const struct thread *thread, const struct fiber *target)
{
    struct thread *other = fiber_thread(target);
    if (other == NULL)
        PyErr_Format(core.error, "Cannot switch to a different thread, and that of %R has exited",
                     target->object);
    else
        PyErr_Format(core.error, "Cannot switch to a different thread. Current: %R, Expected: %R",
                     thread->current->object, other->main->object);
}

/* The first ancestor of `target`, itself included, that can run: parked, current, or FRESH and then
   started here. NULL with an exception set. Looking up `run`, and dropping the one stored before, may
   run any code: what is known of the fiber is asked again afterwards. */
static struct fiber *
resolve(struct thread *thread, struct fiber *target)
{
    for (;;) {
        if (fiber_thread(target) != thread) {
            wrong_thread(thread, target);
            return NULL;
        }
        if (target->state == STARTED)
            return target;
        if (target->state == DEAD) {
            target = target->parent->fiber;
            continue;
        }
        PyObject *run = run_lookup(target);
        if (run == NULL)
            return NULL;
        if (target->state == FRESH)
            Py_CLEAR(target->run);
        if (target->state != FRESH || fiber_thread(target) != thread) {
            Py_DECREF(run);
            continue;
        }
        return fiber_start(thread, target, run) == 0 ? target : NULL;
    }
}

PyObject *
exit_as_value(void)
{
    if (!PyErr_ExceptionMatches(core.greenlet_exit))
        return NULL;
    return PyErr_GetRaisedException();
}

/* Same as `resolve`, with the exception that is being thrown, if any, kept aside. */
static struct fiber *
resolve_for(struct thread *thread, struct fiber *target, struct message *message)
{
    PyObject *exception = NULL;
    if (message->value == NULL) {
        if (target->state == DEAD)
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
    GreenletObject *first = (GreenletObject *)Py_NewRef((PyObject *)target->object);
    if (thread->doomed != NULL)
        thread_end_doomed(thread);
    target = resolve_for(thread, target, &message);
    bool thrown = message.value == NULL;
    if (target == NULL) {
        message_drop(message);
        Py_DECREF(first);
        return NULL;
    }
    GreenletObject *held = (GreenletObject *)Py_NewRef((PyObject *)target->object);
    Py_DECREF(first);
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

/* ---- the life of a fiber on its own stack ---- */

static PyObject *
run_with(struct fiber *self, struct message message)
{
    self->args = message.value;
    if (message.kwargs == NULL)
        return PyObject_CallOneArg(self->run, self->args);
    if (self->args == core.empty_tuple && message.kwargs == POSITIONAL)
        return PyObject_CallNoArgs(self->run);
    self->kwargs = message.kwargs != POSITIONAL ? message.kwargs : NULL;
    return PyObject_Call(self->run, self->args, self->kwargs);
}

/* While this is still a greenlet like any other: dropping things may run Python code, which may switch. */
void
fiber_tidy(struct fiber *self, bool failed)
{
    PyObject *exception = failed ? PyErr_GetRaisedException() : NULL;
    Py_CLEAR(self->run);
    Py_CLEAR(self->args);
    Py_CLEAR(self->kwargs);
    Py_CLEAR(self->python.exc_base.exc_value);
    if (exception != NULL)
        PyErr_SetRaisedException(exception);
}

/* Whom to hand the result to: the nearest ancestor that takes it. Where one cannot be started, the error
   that says why goes on to the next instead. */
static struct fiber *
heir_of(struct thread *thread, struct fiber *self, struct message *message)
{
    struct fiber *ancestor = self->parent->fiber;
    for (;;) {
        struct fiber *heir = resolve_for(thread, ancestor, message);
        if (heir != NULL)
            return heir;
        message_drop(*message);
        *message = (struct message){0};
        if (ancestor->parent == NULL)
            return thread->main;     /* the lineage left this thread: its main greenlet hears of it */
        ancestor = ancestor->parent->fiber;
    }
}

static void
fiber_retire(struct thread *thread, struct fiber *self)
{
    self->state = DEAD;
    self->thread = NULL;
    self->python.context = thread->tstate->context;  /* gr_context shows it from now on */
    started_unlink(thread, self);
    slice_discard(self);
    if (self->root_chunk != NULL)
        root_chunk_give(self->root_chunk);
    self->root_chunk = NULL;
    if (self->refuses_to_die) {
        self->refuses_to_die = false;
        core.leaked--;
        Py_DECREF(self->object);     /* thread->current still holds one */
    }
}

/* Nothing may fail any more, and no Python code runs. */
void *
leave_for_good(struct thread *thread, struct fiber *self, struct fiber *heir, GreenletObject *origin)
{
    struct slot *own = self->slot, *home = heir->slot;
    bool same_slot = own == home;
    fiber_retire(thread, self);
    thread->left = self->object;
    self->slot = NULL;
    own->occupant = NULL;
    slot_release(thread, own);
    if (home->occupant != heir && !same_slot) {
        if (occupant_copy_out(home) < 0)
            Py_FatalError("gossamer: no memory to resume the parent of a finished greenlet");
        slice_copy_in(heir);
    }
    state_load(thread, heir, &home->limits);
    become_current(thread, heir, origin);
    sanitizer_leave(NULL, home->low, slot_size(home));
    if (unlikely(home->occupant != heir)) {
        void *unused;
        swap_stacks_via(&unused, core.scratch, NULL, heir);
        Py_UNREACHABLE();
    }
    return heir->sp;
}

/* What a fiber is called with on its first entry. The hub greenlet is entered by hand-off, with nothing. */
static struct message
message_arriving(struct thread *thread)
{
    if (thread->origin == NULL)
        return (struct message){arrive_by_hand_off(thread), POSITIONAL};
    PyObject *kwargs = thread->kwargs;
    thread->kwargs = NULL;
    struct message message = {arrive(thread), kwargs};
    if (message.value == NULL) {
        message_drop(message);
        return (struct message){NULL, NULL};
    }
    if (likely(thread->hub == NULL || thread->current != thread->hub->home))
        return message;
    message_drop(message);           /* whoever wakes the hub first: its loop takes no arguments */
    return (struct message){Py_NewRef(core.empty_tuple), POSITIONAL};
}

void *
fiber_bequeath(struct thread *thread, struct fiber *self, struct message message)
{
    if (thread->hub != NULL && thread->hub->home == self)
        hub_replace_home(thread->hub);
    struct fiber *heir = heir_of(thread, self, &message);
    message_put(thread, message);
    if (thread->tracer != NULL)
        thread->thrown = message.value == NULL;
    Py_INCREF(heir->object);
    return leave_for_good(thread, self, heir, self->object);
}

void
fiber_adopt_stack(struct thread *thread, struct fiber *finished, struct fiber *fresh)
{
    struct slot *slot = finished->slot;
    _PyStackChunk *root = finished->root_chunk;
    finished->root_chunk = NULL;
    fiber_retire(thread, finished);
    finished->slot = NULL;
    fresh->slot = slot;
    slot->occupant = fresh;
    fresh->root_chunk = root;
    python_state_start(&fresh->python, thread->tstate, root);
    fresh->thread = thread;
    fresh->state = STARTED;
    fresh->entered = true;
    started_link(thread, fresh);
    state_load(thread, fresh, &slot->limits);
    python_state_arrive(thread->tstate);
    thread->current = fresh;
}

__attribute__((visibility("hidden"))) void *
fiber_main(void)
{
    struct thread *thread = current_thread;
    struct fiber *self = thread->current;
    self->entered = true;
    sanitizer_arrive(NULL);
    python_state_arrive(thread->tstate);
    if (self->is_green)
        return green_thread_main(thread, self);
    struct message message = message_arriving(thread);
    PyObject *result = message.value != NULL ? run_with(self, message) : NULL;
    if (result == NULL)
        result = exit_as_value();
    fiber_tidy(self, result == NULL);
    return fiber_bequeath(thread, self, (struct message){result, NULL});
}

/* ---- Python's switch and throw ---- */

static __attribute__((noinline)) PyObject *
switch_slowly(struct thread *thread, struct fiber *target, PyObject *const *args, Py_ssize_t count,
              PyObject *names)
{
    struct message message = {tuple_from(args, count), POSITIONAL};
    if (message.value == NULL)
        return NULL;
    if (names != NULL && PyTuple_GET_SIZE(names) > 0) {
        message.kwargs = PyDict_New();
        for (Py_ssize_t i = 0; message.kwargs != NULL && i < PyTuple_GET_SIZE(names); i++)
            if (PyDict_SetItem(message.kwargs, PyTuple_GET_ITEM(names, i), args[count + i]) < 0)
                Py_CLEAR(message.kwargs);
        if (message.kwargs == NULL) {
            message_drop(message);
            return NULL;
        }
    }
    message_put(thread, message);
    return fiber_transfer(thread, target);
}

#if METHOD_CACHE_WANTS_DICT
/* Not when it is made: most that are switched to once only start and end. */
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
    if (unlikely(count > 1 || names != NULL || target->state != STARTED || target->thread != thread
                 || target == current || thread->attention)) {
        result = switch_slowly(thread, target, args, count, names);
    }
    else {
#if METHOD_CACHE_WANTS_DICT
        if (unlikely(((GreenletObject *)self)->dict == NULL))
            dict_give((GreenletObject *)self);
#endif
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
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        message.kwargs = Py_NewRef(kwargs);
    }
    message_put(thread, message);
    return fiber_transfer(thread, greenlet->fiber);
}

/* Sets the error that throw(type, value, traceback) means. The rules are those of the `raise` statement
   with three parts. Returns -1 with TypeError set when they do not fit together. */
static int
set_thrown_error(PyObject *type, PyObject *value, PyObject *traceback)
{
    if (traceback == Py_None)
        traceback = NULL;
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return -1;
    }
    if (PyExceptionInstance_Check(type)) {
        if (value != NULL && value != Py_None) {
            PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
            return -1;
        }
        if (traceback == NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(type), type);
            return 0;
        }
        PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(type)), Py_NewRef(type), Py_NewRef(traceback));
        return 0;
    }
    if (!PyExceptionClass_Check(type)) {
        PyErr_Format(PyExc_TypeError, "exceptions must be classes, or instances, not %s",
                     Py_TYPE(type)->tp_name);
        return -1;
    }
    Py_INCREF(type);
    Py_XINCREF(value);
    Py_XINCREF(traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyErr_Restore(type, value, traceback);
    return 0;
}

PyObject *
greenlet_throw_error(GreenletObject *greenlet, PyObject *type, PyObject *value, PyObject *traceback)
{
    struct thread *thread = thread_get();
    if (thread == NULL || set_thrown_error(type, value, traceback) < 0)
        return NULL;
    message_put(thread, (struct message){0});
    return fiber_transfer(thread, greenlet->fiber);
}

PyObject *
Greenlet_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count > 3) {
        PyErr_Format(PyExc_TypeError, "throw() takes at most 3 arguments (%zd given)", count);
        return NULL;
    }
    return greenlet_throw_error((GreenletObject *)self, count > 0 ? args[0] : core.greenlet_exit,
                                count > 1 ? args[1] : NULL, count > 2 ? args[2] : NULL);
}
