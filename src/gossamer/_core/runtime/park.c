/* park and unpark: see wait.h for the states of a wait, hub.h for who runs next. */
#include "hub.h"
#include "signals.h"
#include "../switch/transfer.h"

void
wait_queue_append(struct wait_queue *queue, struct fiber *fiber)
{
    fiber->wait.queue = queue;
    fiber->wait.next = NULL;
    fiber->wait.previous = queue->last;
    if (queue->last != NULL)
        queue->last->wait.next = fiber;
    else
        queue->first = fiber;
    queue->last = fiber;
    queue->length++;
}

void
wait_queue_prepend(struct wait_queue *queue, struct fiber *fiber)
{
    fiber->wait.queue = queue;
    fiber->wait.previous = NULL;
    fiber->wait.next = queue->first;
    if (queue->first != NULL)
        queue->first->wait.previous = fiber;
    else
        queue->last = fiber;
    queue->first = fiber;
    queue->length++;
}

void
wait_queue_remove(struct fiber *fiber)
{
    struct wait_queue *queue = fiber->wait.queue;
    if (queue == NULL)
        return;
    struct fiber *next = fiber->wait.next, *previous = fiber->wait.previous;
    if (previous != NULL)
        previous->wait.next = next;
    else
        queue->first = next;
    if (next != NULL)
        next->wait.previous = previous;
    else
        queue->last = previous;
    queue->length--;
    fiber->wait.queue = NULL;
}

/* Takes a fiber out of the queue that it stands in. */
static void
queue_leave(struct hub *hub, struct fiber *fiber)
{
    struct wait *wait = &fiber->wait;
    if (wait->queue != NULL && (wait->reason == FOR_READING || wait->reason == FOR_WRITING))
        hub->poller.waiting--;
    wait_queue_remove(fiber);
}

/* The same for wherever its wait put it. Only its own thread may touch the timers. */
static void
wait_leave(struct hub *hub, struct fiber *fiber)
{
    queue_leave(hub, fiber);
    timers_remove(&hub->timers, &fiber->wait.timer);
}

int
hub_prepare(struct hub *hub, enum wait_reason reason, uintptr_t subject)
{
    struct fiber *self = hub->thread->current;
    if (unlikely(self == hub->home)) {
        PyErr_SetString(core.blocking_switch_out_error,
                        "the hub greenlet cannot wait: run what blocks in a green thread (gossamer.spawn)");
        return -1;
    }
    struct wait *wait = &self->wait;
    wait->state = WAITING;
    wait->outcome = UNPARKED;
    wait->reason = (uint8_t)reason;
    wait->subject = subject;
    return 0;
}

int
hub_prepare_deadline(struct hub *hub, int64_t when)
{
    struct fiber *self = hub->thread->current;
    if (when == INT64_MAX)
        return 0;
    self->wait.timer.owner = TIMER_OF_FIBER;
    if (timers_add(&hub->timers, &self->wait.timer, when) == 0)
        return 0;
    wait_leave(hub, self);
    self->wait.state = NOT_WAITING;
    return -1;
}

/* ---- out of waiting ---- */

void
hub_unpark(struct fiber *fiber, enum wait_outcome outcome)
{
    if (fiber->wait.state != WAITING)
        return;
    struct thread *thread = fiber->thread;
    struct hub *hub = thread->hub;
    fiber->wait.outcome = (uint8_t)outcome;
    fiber->wait.state = READY;
    if (likely(thread == current_thread)) {
        wait_leave(hub, fiber);
        hub_make_ready(hub, fiber);
    }
    else {
        queue_leave(hub, fiber);     /* its own thread removes the timer when it takes it over */
        hub_make_ready_remotely(hub, fiber);
    }
}

bool
hub_interrupt(struct fiber *fiber, PyObject *exception)
{
    if (fiber->wait.state == NOT_WAITING)
        return false;
    Py_XSETREF(fiber->wait.interrupt, Py_NewRef(exception));
    hub_unpark(fiber, UNPARKED);
    return true;
}

/* ---- who runs next ---- */

static int64_t
coarse_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool
time_to_poll(struct hub *hub)
{
    int64_t nanoseconds = coarse_now();
    if (--hub->turns > 0 && nanoseconds - hub->polled_at < POLL_NANOSECONDS)
        return false;
    hub->polled_at = nanoseconds;
    hub->turns = POLL_TURNS;
    return true;
}

/* Whether the ring's entry is a fiber that can be switched to at once. The hub greenlet sees to others:
   callbacks, fibers that went on some other way meanwhile, those without memory to start. */
static bool
can_go_on(struct hub *hub, ring_entry entry)
{
    if (entry & 1)
        return false;
    struct fiber *fiber = (struct fiber *)entry;
    if (fiber->wait.state != READY)
        return false;
    if (likely(fiber->state == STARTED))
        return true;
    if (fiber->state == FRESH && fiber_start(hub->thread, fiber, fiber->run) == 0)
        return true;
    PyErr_Clear();
    return false;
}

struct fiber *
hub_next(struct hub *hub)
{
    struct ring *ring = &hub->ring;
    if (unlikely(time_to_poll(hub)))
        hub_poll(hub, false);
    while (unlikely(ring->head == ring->tail) && !hub->attention)
        hub_poll(hub, true);
    /* a tracer is shown the way by the hub greenlet, as gevent's is */
    if (likely(!hub->attention && hub->thread->tracer == NULL)) {
        ring_entry entry = ring->entries[ring->head & ring->mask];
        if (likely(can_go_on(hub, entry))) {
            ring->head++;
            return (struct fiber *)entry;
        }
    }
    Py_INCREF(hub->home->object);
    return hub->home;
}

void
hub_put_back(struct hub *hub, struct fiber *fiber)
{
    if (fiber == hub->home)
        Py_DECREF(fiber->object);
    else
        hub_make_ready(hub, fiber);
}

/* In a flood of spawns whoever comes next was made long ago, and is not in the processor's caches any more. */
static inline void
fetch_ahead(const struct ring *ring)
{
    enum { OBJECTS = 4, FIBERS = 8 };
    if (ring->tail - ring->head <= FIBERS)
        return;
    memory_fetch((void *)ring->entries[(ring->head + FIBERS) & ring->mask], sizeof(struct fiber));
    ring_entry entry = ring->entries[(ring->head + OBJECTS) & ring->mask];
    if (!(entry & 1))
        memory_fetch(((struct fiber *)entry)->object, sizeof(GreenThreadObject));
}

struct fiber *
hub_next_fresh(struct hub *hub)
{
    struct ring *ring = &hub->ring;
    if (unlikely(time_to_poll(hub)))
        hub_poll(hub, false);
    if (ring->head == ring->tail || hub->attention || hub->thread->tracer != NULL)
        return NULL;
    ring_entry entry = ring->entries[ring->head & ring->mask];
    struct fiber *fiber = (struct fiber *)entry;
    if ((entry & 1) || fiber->state != FRESH || fiber->wait.state != READY)
        return NULL;
    ring->head++;
    fetch_ahead(ring);
    return fiber;
}

/* ---- into waiting ---- */

void
drop_of_another(struct thread *thread, GreenletObject *object)
{
    struct fiber *self = thread->current;
    bool before = self->drops_another;
    self->drops_another = true;
    Py_DECREF(object);
    self->drops_another = before;
}

void
drop_finished(struct thread *thread)
{
    GreenletObject *finished = thread->finished;
    if (unlikely(finished != NULL)) {
        thread->finished = NULL;
        drop_of_another(thread, finished);
    }
}

/* The pending exception is about to be raised in a destructor of what another left: that may do with it as it likes,
   but whoever runs the destructor is struck too. */
static __attribute__((noinline, cold)) void
keep_struck(struct fiber *self)
{
    PyObject *exception = PyErr_GetRaisedException();
    if (self->struck == NULL)
        self->struck = PyList_New(0);
    if (self->struck == NULL || PyList_Append(self->struck, exception) < 0)
        PyErr_WriteUnraisable((PyObject *)self->object);
    PyErr_SetRaisedException(exception);
}

void
hub_put_off(struct hub *hub, PyObject *exception)
{
    GreenletObject *greenlet = hub->thread->current->object;
    int result = timeout_put_off(exception);
    if (result == 0)
        result = green_thread_throw_later(hub, greenlet, exception);
    if (result < 0)
        PyErr_WriteUnraisable((PyObject *)greenlet);
}

PyObject *
hub_take_struck(struct hub *hub)
{
    struct fiber *self = hub->thread->current;
    PyObject *struck = self->struck;
    if (likely(struck == NULL) || self->drops_another)
        return NULL;
    self->struck = NULL;
    PyObject *first = Py_NewRef(PyList_GET_ITEM(struck, 0));
    for (Py_ssize_t i = 1; i < PyList_GET_SIZE(struck); i++)
        hub_put_off(hub, PyList_GET_ITEM(struck, i));
    Py_DECREF(struck);
    return first;
}

/* How a wait ended, taken out of the fiber before any other code can run on its stack and wait there. */
struct ending {
    PyObject *interrupt;             /* owned, or NULL */
    PyObject *value;                 /* of an explicit switch */
    int outcome;
    bool explicit_switch;
};

/* Somebody switched in who is not the hub. The wait is over; its reference to this fiber is dropped,
   since thread->current has one now. */
static void
cancel_wait(struct hub *hub, struct fiber *self)
{
    bool waiting = self->wait.state == WAITING;
    self->wait.state = NOT_WAITING;
    wait_leave(hub, self);
    if (!waiting && !hub_take_unlisted(hub, self))
        return;                      /* the ring's entry is stale now, and owns the reference */
    Py_DECREF(self->object);
}

static int
raise_taken(struct fiber *self, PyObject *exception)
{
    PyErr_SetRaisedException(exception);
    if (unlikely(self->drops_another))
        keep_struck(self);
    return -1;
}

/* What struck while the destructors of the one that finished before ran strikes now. */
static __attribute__((noinline, cold)) void
ending_struck(struct hub *hub, struct ending *ending)
{
    PyObject *struck = hub_take_struck(hub);
    if (struck == NULL)
        return;
    if (ending->interrupt == NULL) {
        ending->interrupt = struck;
        return;
    }
    hub_put_off(hub, struck);
    Py_DECREF(struck);
}

/* The current fiber's wait ends with MemoryError, and it goes on at once. */
static void
end_for_lack_of_memory(struct hub *hub, struct fiber *self)
{
    PyErr_NoMemory();
    PyObject *exception = PyErr_GetRaisedException();
    hub_interrupt(self, exception);
    Py_DECREF(exception);
    if (!hub_take_unlisted(hub, self))
        Py_INCREF(self->object);     /* its entry in the ring is stale, and owns a reference */
}

/* Lets `next` run instead of the current fiber, which is resumed some day. Without memory for that one,
   the others have their turns first; without memory for any, the wait ends with MemoryError. */
static void
hand_off(struct hub *hub, struct fiber *self, struct fiber *next)
{
    uint32_t tries = hub->ring.tail - hub->ring.head + 2;
    while (next != self && !fiber_hand_off(hub->thread, next)) {
        hub_put_back(hub, next);
        if (tries-- == 0) {
            end_for_lack_of_memory(hub, self);
            return;
        }
        next = hub_next(hub);
    }
}

/* Parks the current fiber until the hub or somebody else lets it go on. */
static struct ending
give_way(struct hub *hub)
{
    struct thread *thread = hub->thread;
    struct fiber *self = thread->current;
    hand_off(hub, self, hub_next(hub));
    struct ending ending = {.interrupt = self->wait.interrupt, .outcome = self->wait.outcome};
    self->wait.interrupt = NULL;
    hub_tell_driver(hub);
    if (likely(thread->origin == NULL)) {
        self->wait.state = NOT_WAITING;
        /* another thread unparked it, and a stale entry let it go on before the hub took notice */
        if (unlikely(self->wait.timer.place != 0))
            timers_remove(&hub->timers, &self->wait.timer);
        if (unlikely(thread->tracer != NULL) && thread->left != self->object && trace_hand_off(thread) < 0)
            ending.explicit_switch = true;
        drop_finished(thread);
        if (unlikely(self->struck != NULL))
            ending_struck(hub, &ending);
        return ending;
    }
    cancel_wait(hub, self);
    ending.explicit_switch = true;
    ending.value = arrive(thread);
    if (unlikely(self->drops_another) && ending.value == NULL)
        keep_struck(self);
    return ending;
}

int
hub_park(struct hub *hub)
{
    struct ending ending = give_way(hub);
    if (likely(!ending.explicit_switch))
        return likely(ending.interrupt == NULL) ? ending.outcome
                                                : raise_taken(hub->thread->current, ending.interrupt);
    Py_XDECREF(ending.interrupt);
    if (ending.value != NULL) {
        PyErr_Format(core.invalid_switch_error,
                     "Invalid switch: %R was switched to with %R while it waits for something else",
                     hub->thread->current->object, ending.value);
        Py_DECREF(ending.value);
    }
    return -1;
}

PyObject *
hub_park_for_value(struct hub *hub)
{
    struct ending ending = give_way(hub);
    if (ending.explicit_switch) {
        Py_XDECREF(ending.interrupt);
        return ending.value;
    }
    if (ending.interrupt == NULL)
        Py_RETURN_NONE;
    raise_taken(hub->thread->current, ending.interrupt);
    return NULL;
}

/* Its own deadline is nothing to wait for. */
int
hub_join(struct hub *hub, int64_t deadline)
{
    if (hub_prepare(hub, FOR_QUEUE, 0) < 0)
        return -1;
    wait_queue_append(&hub->joining, hub->thread->current);
    if (hub_prepare_deadline(hub, deadline) < 0)
        return -1;
    uint32_t timers = deadline != INT64_MAX;
    hub->unreferenced += timers;
    int outcome = hub_park(hub);
    hub->unreferenced -= timers;
    return outcome;
}

/* Signals that came before, handled or not: they end the waits that were there, and not one that begins now. */
static int
see_to_earlier_signals(struct hub *hub)
{
    bool came = hub->wakes_for_signals && signals_take();
    if (!came && !hub->signals)
        return 0;
    hub->signals = false;
    int result = PyErr_CheckSignals();
    while (hub->pausing.first != NULL)
        hub_unpark(hub->pausing.first, UNPARKED);
    return result;
}

/* Whoever sends the signal is another party: no report of a deadlock meanwhile. */
int
hub_wait_signal(struct hub *hub)
{
    if (see_to_earlier_signals(hub) < 0 || hub_prepare(hub, FOR_QUEUE, 0) < 0)
        return -1;
    wait_queue_append(&hub->pausing, hub->thread->current);
    hub->foreign++;
    int outcome = hub_park(hub);
    hub->foreign--;
    return outcome;
}

int
hub_pause(struct hub *hub, double seconds)
{
    if (hub_prepare(hub, seconds > 0 ? FOR_TIME : FOR_TURN, 0) < 0)
        return -1;
    if (seconds > 0) {
        if (hub_prepare_deadline(hub, deadline_after(seconds)) < 0)
            return -1;
    }
    else {
        hub->thread->current->wait.state = READY;
        hub_make_ready(hub, hub->thread->current);
    }
    return hub_park(hub);
}

int
hub_give_way(struct hub *hub)
{
    if (coarse_now() - hub->polled_at < POLL_NANOSECONDS || hub->thread->current == hub->home)
        return 0;
    return hub_pause(hub, 0) < 0 ? -1 : 1;
}
