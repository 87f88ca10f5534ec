/* Asking what has become ready: descriptors, timers, what other threads left; sleeping until then. */
#include "hub.h"
#include "signals.h"
#include "watch.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static void
unpark_all(struct wait_queue *queue, enum wait_outcome outcome)
{
    while (queue->first != NULL)
        hub_unpark(queue->first, outcome);
}

static void
events_take(struct hub *hub, int count)
{
    for (int i = 0; i < count; i++) {
        bool ready[2];
        struct pollable *pollable = poller_event(&hub->poller, &hub->poller.events[i], ready);
        if (pollable == NULL)
            continue;
        for (int direction = READING; direction <= WRITING; direction++) {
            if (!ready[direction])
                continue;
            pollable->ready[direction] = pollable->owned;
            if (pollable->owned)
                hub_pass_on(pollable, direction);
            else
                unpark_all(&pollable->waiting[direction], UNPARKED);
        }
        if (unlikely(pollable->watches != NULL))
            watches_came(hub, pollable, ready[READING] << READING | ready[WRITING] << WRITING);
    }
}

static void
timers_take(struct hub *hub)
{
    if (hub->timers.count == 0)
        return;
    int64_t now = clock_now();
    struct timer *timer;
    /* without memory for their entries they are late, and still there the next time */
    while (hub_has_room(hub) && (timer = timers_expired(&hub->timers, now)) != NULL) {
        if (timer->owner == TIMER_OF_FIBER) {
            hub_unpark((struct fiber *)((char *)timer - offsetof(struct fiber, wait.timer)), TIMED_OUT);
        }
        else if (timer->owner == TIMER_OF_WATCH) {
            watch_expired(hub, timer);
        }
        else {
            CallbackObject *callback = (CallbackObject *)((char *)timer - offsetof(CallbackObject, timer));
            callback_timer_stop(callback);
            hub_enqueue(hub, (ring_entry)callback | 1);
        }
    }
}

enum {
    RECHECK_NANOSECONDS = 200000000,
    REOPEN_NANOSECONDS = 10000000,   /* between attempts to get descriptors for a poller that has none */
};

static Py_ssize_t
other_threads(const struct hub *hub)
{
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    Py_ssize_t count = 0;
    for (PyThreadState *other = PyInterpreterState_ThreadHead(interpreter); other != NULL;
         other = PyThreadState_Next(other))
        count += other != hub->thread->tstate;
    return count;
}

/* epoll_wait with a timeout in nanoseconds, INT64_MAX for none. Kernels before 5.11 count milliseconds:
   rounded up, since nothing may happen before its time. Sandboxes that do not know the newer call say EPERM. */
static int
epoll_sleep(struct poller *poller, int64_t nanoseconds)
{
    if (unlikely(poller->epoll < 0) && nanoseconds > REOPEN_NANOSECONDS)
        nanoseconds = REOPEN_NANOSECONDS;
    struct timespec timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    if (unlikely(poller->epoll < 0))
        return nanosleep(&timeout, NULL);
    bool endless = nanoseconds == INT64_MAX;
    int count = (int)syscall(SYS_epoll_pwait2, poller->epoll, poller->events, EVENTS_A_CALL,
                             endless ? NULL : &timeout, NULL, (size_t)0);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM))
        return count;
    int64_t milliseconds = nanoseconds / 1000000 + (nanoseconds % 1000000 > 0);
    int most = endless ? -1 : milliseconds > INT32_MAX ? INT32_MAX : (int)milliseconds;
    return epoll_wait(poller->epoll, poller->events, EVENTS_A_CALL, most);
}

static int
hub_sleep(struct hub *hub)
{
    int64_t nanoseconds = INT64_MAX;
    if (hub->timers.count > 0) {
        nanoseconds = hub->timers.heap[0].when - clock_now();
        if (nanoseconds <= 0)
            return 0;
    }
    if (hub->timers.count <= hub->unreferenced && hub->poller.waiting == 0 && hub->foreign == 0) {
        if (hub->joining.first != NULL && core.promises == 0) {
            unpark_all(&hub->joining, UNPARKED);
            return 0;
        }
        /* another thread may unpark somebody; nobody says so when the last of them ends */
        if (hub->joining.first == NULL && !threads_may_unpark(other_threads(hub))) {
            hub->deadlocked = hub->attention = true;
            return 0;
        }
        if (nanoseconds > RECHECK_NANOSECONDS)
            nanoseconds = RECHECK_NANOSECONDS;
    }
    if (unlikely(hub->standing[WATCH_IDLE] != NULL)) {
        watches_of_turn(hub, WATCH_IDLE);
        return 0;
    }
    if (!hub_may_sleep(hub))
        return 0;
    PyThreadState *tstate = PyEval_SaveThread();
    int count = epoll_sleep(&hub->poller, nanoseconds);
    int error = errno;
    PyEval_RestoreThread(tstate);
    hub->remote.sleeping = false;
    if (count >= 0)
        return count;
    if (error != EINTR)
        Py_FatalError("gossamer: epoll_wait failed; was the hub's descriptor closed?");
    hub->signals = hub->attention = true;
    return 0;
}

/* After a fork with no descriptors left. */
static __attribute__((noinline, cold)) void
hub_reopen(struct hub *hub)
{
    if (poller_reopen(&hub->poller) == 0 && hub->wakes_for_signals)
        signals_attach(hub);
}

static void
poll_once(struct hub *hub, bool may_sleep, bool is_turn)
{
    hub->polls++;
    hub->remote.sleeping = false;
    if (unlikely(hub->poller.epoll < 0))
        hub_reopen(hub);
    if (unlikely(hub->poller.change_count > 0) && hub->poller.epoll >= 0)
        watches_arm(hub);
    int count = epoll_wait(hub->poller.epoll, hub->poller.events, EVENTS_A_CALL, 0);
    hub_take_remote(hub);
    if (count <= 0 && may_sleep && hub->ring.head == hub->ring.tail && !hub->attention)
        count = hub_sleep(hub);
    if (is_turn && unlikely(hub->standing[WATCH_CHECK] != NULL))
        watches_of_turn(hub, WATCH_CHECK);
    if (count > 0)
        events_take(hub, count);
    if (hub->wakes_for_signals && signals_take())
        hub->signals = hub->attention = true;
    hub_take_remote(hub);
    timers_take(hub);
}

/* Prepare watches have their event. Before a sleep they come first, and the sleep the next time: returns whether that is
   so. */
static bool
prepare(struct hub *hub, bool may_sleep)
{
    if (may_sleep && hub->prepared) {
        hub->prepared = false;
        return false;
    }
    watches_of_turn(hub, WATCH_PREPARE);
    hub->prepared = may_sleep && hub->ring.head != hub->ring.tail;
    return hub->prepared;
}

void
hub_poll(struct hub *hub, bool may_sleep)
{
    if (unlikely(hub->standing[WATCH_PREPARE] != NULL) && prepare(hub, may_sleep))
        return;
    poll_once(hub, may_sleep, true);
}

void
hub_look(struct hub *hub)
{
    poll_once(hub, false, false);
}

void
hub_turn_driven(struct hub *hub)
{
    bool quiet = hub->ring.head == hub->ring.tail;
    watches_of_turn(hub, WATCH_PREPARE);
    watches_of_turn(hub, WATCH_CHECK);
    uint32_t tail = hub->ring.tail;
    hub_look(hub);
    if (quiet && tail == hub->ring.tail)
        watches_of_turn(hub, WATCH_IDLE);
}

/* ---- waiting for a descriptor ---- */

void
hub_pass_on(struct pollable *pollable, enum direction direction)
{
    struct fiber *first = pollable->waiting[direction].first;
    if (first != NULL && pollable->ready[direction])
        hub_unpark(first, UNPARKED);
}

/* Parks until an edge. Who does not get to use it leaves it to the next. */
static int
wait_for_edge(struct hub *hub, struct pollable *pollable, int descriptor, enum direction direction,
              int64_t deadline)
{
    if (hub_prepare(hub, direction == READING ? FOR_READING : FOR_WRITING, (uintptr_t)descriptor) < 0)
        return -1;
    wait_queue_append(&pollable->waiting[direction], hub->thread->current);
    hub->poller.waiting++;
    if (hub_prepare_deadline(hub, deadline) < 0)
        return -1;
    int outcome = hub_park(hub);
    if (outcome < 0)
        hub_pass_on(pollable, direction);
    if (outcome != DESCRIPTOR_CLOSED)
        return outcome;
    errno = EBADF;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

int
hub_wait_descriptor(struct hub *hub, int descriptor, enum direction direction, int64_t deadline)
{
    struct pollable *pollable = poller_get(&hub->poller, descriptor);
    if (pollable == NULL)
        return -1;
    int armed = poller_arm(&hub->poller, descriptor, pollable, direction);
    if (armed <= 0)
        return armed < 0 ? -1 : UNPARKED;
    int outcome = wait_for_edge(hub, pollable, descriptor, direction, deadline);
    hub_pass_on(pollable, direction);    /* looked at it only */
    return outcome;
}

int
hub_wait_socket(struct hub *hub, int descriptor, enum socket_kind kind, enum direction direction,
                int64_t deadline)
{
    struct pollable *pollable = poller_get(&hub->poller, descriptor);
    if (pollable == NULL)
        return -1;
    pollable->ready[direction] = false;
    if (!pollable->owned || !pollable_is_registered(pollable, direction)) {
        int armed = poller_arm(&hub->poller, descriptor, pollable, direction);
        if (armed <= 0)
            return armed < 0 ? -1 : UNPARKED;
        if (!pollable->owned && kind != EXOTIC) {
            pollable->owned = true;
            pollable->short_means_empty = kind == STREAM;
        }
    }
    return wait_for_edge(hub, pollable, descriptor, direction, deadline);
}

void
descriptor_changed(int descriptor, enum wait_outcome outcome)
{
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next) {
        struct pollable *pollable = thread->hub != NULL ? poller_find(&thread->hub->poller, descriptor) : NULL;
        if (pollable == NULL)
            continue;
        pollable_forget(pollable);
        unpark_all(&pollable->waiting[READING], outcome);
        unpark_all(&pollable->waiting[WRITING], outcome);
        watches_recheck(&thread->hub->poller, descriptor, pollable);
    }
}
