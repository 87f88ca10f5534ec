/* The life of a fiber: how it starts, what it does on its own stack, and how it leaves that for good. */
#include "fiber.h"
#include "datastack.h"
#include "swap.h"
#include "transfer.h"
#include "../runtime/hub.h"

/* ---- starting ---- */

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
    if (slot->occupant == NULL) {
        slot->occupant = fiber;
        stack_make_accessible(frame - RED_ZONE, slot->top);
    }
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

void
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

/* ---- on its own stack ---- */

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

bool
stack_make_ready(struct fiber *self, struct fiber *heir)
{
    struct slot *home = heir->slot;
    return home == self->slot || home->occupant == heir || occupant_copy_out(home) == 0
           || occupant_copy_into(home, self->slot) == 0;
}

/* `*ancestor`, or the first above it that lives, ready to go on. NULL with an exception set. */
static struct fiber *
heir_at(struct thread *thread, struct fiber *self, GreenletObject **ancestor, struct message *message)
{
    struct fiber *heir = resolve_for(thread, ancestor, message);
    if (heir == NULL || stack_make_ready(self, heir))
        return heir;
    if (!heir->entered)
        fiber_unstart(thread, heir);
    PyErr_NoMemory();
    return NULL;
}

/* Whom to hand the result to, with a reference to its object: the nearest ancestor that takes it. Where one cannot be
   started, or there is no memory to go on with it, the error that says why goes on to the next instead; the main greenlet
   can always go on. */
static struct fiber *
heir_of(struct thread *thread, struct fiber *self, struct message *message)
{
    GreenletObject *ancestor = (GreenletObject *)Py_NewRef((PyObject *)self->parent);
    for (;;) {
        struct fiber *heir = heir_at(thread, self, &ancestor, message);
        if (heir != NULL)
            return heir;
        message_drop(*message);
        *message = (struct message){0};
        GreenletObject *next = ancestor->fiber->parent;
        if (next == NULL)            /* the lineage left this thread: its main greenlet hears of it */
            next = thread->main->object;
        Py_SETREF(ancestor, (GreenletObject *)Py_NewRef((PyObject *)next));
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
    if (home->occupant != heir && !same_slot)
        slice_copy_in(heir);
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

/* Takes over a reference to the heir's object. */
static void *
bequeath_to(struct thread *thread, struct fiber *self, struct fiber *heir, struct message message)
{
    message_put(thread, message);
    if (thread->tracer != NULL)
        thread->thrown = message.value == NULL;
    return leave_for_good(thread, self, heir, self->object);
}

void *
fiber_bequeath(struct thread *thread, struct fiber *self, struct message message)
{
    if (thread->hub != NULL && thread->hub->home == self)
        hub_replace_home(thread->hub);
    struct fiber *heir = heir_of(thread, self, &message);
    return bequeath_to(thread, self, heir, message);
}

void *
fiber_bequeath_no_memory(struct thread *thread, struct fiber *self)
{
    PyErr_NoMemory();
    Py_INCREF(thread->main->object);
    return bequeath_to(thread, self, thread->main, (struct message){0});
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
