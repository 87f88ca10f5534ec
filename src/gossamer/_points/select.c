/* select.select(), poll objects and epoll objects; the selectors module, and asyncio with it, stand on these.

   Every wait is: ask the original with timeout 0, park until something may have changed, ask again, until
   the user's time is over. So what is returned, and what is refused, is always the original's, with one exception:
   what is closed while select() waits is ready, as in the kernel's own call, which had hold of it.

   - An epoll object is itself a descriptor that becomes readable: the hub watches it as any other.
   - select() and poll() get a private epoll instance for the time of the wait, which the hub watches; or, for
     one descriptor and one direction, the hub watches that descriptor directly.
   - What epoll refuses with EPERM (regular files) is always ready. The original has just said that what the
     user wants to know of it is not so; it never will be, and is left out.
   - Epoll always tells of errors and hang-ups, select() not in all sets: after a wake-up that was for nothing the
     private instance is made anew, edge-triggered, so that a state that lasts wakes once only.
   - Where there can be no private instance (no descriptors left, epolls nested too deep), the wait is a
     series of naps.
   - A poll object refuses a second poll() while the first waits. Its own mark of that is used.
   - Closing an epoll object ends the waits on it in every thread: its descriptor would never be ready again.
   - Who asks again and again, and always finds something ready or does not want to wait, would keep the other green
     threads from running. As threads do to each other at the switch interval, it lets them run every
     POLL_NANOSECONDS; before asking, so that no answer can get lost. */
#include "select_timeouts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

static PyObject *point_select(PyObject *module, PyObject *const *args, Py_ssize_t count);
static PyObject *point_poll(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *point_epoll_poll(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_epoll_close(PyObject *self, PyObject *ignored);
static bool probe_poll(void);
static bool probe_epoll(void);

enum { SELECT, POLL, EPOLL_POLL, EPOLL_CLOSE };

struct point select_points[] = {
    [SELECT] = {.module = "select", .name = "select", .function = (PyCFunction)(void (*)(void))point_select,
                .flags = METH_FASTCALL, .kind = WAITER, .group = "select"},
    [POLL] = {.module = "select", .type = "poll", .name = "poll", .function = (PyCFunction)(void (*)(void))point_poll,
              .flags = METH_FASTCALL, .kind = WAITER, .group = "select", .probe = probe_poll},
    [EPOLL_POLL] = {.module = "select", .type = "epoll", .name = "poll",
                    .function = (PyCFunction)(void (*)(void))point_epoll_poll, .flags = METH_FASTCALL | METH_KEYWORDS,
                    .kind = WAITER, .group = "select", .probe = probe_epoll},
    [EPOLL_CLOSE] = {.module = "select", .type = "epoll", .name = "close", .function = point_epoll_close,
                     .flags = METH_NOARGS, .kind = WAKER, .group = "select", .probe = probe_epoll},
    {.module = NULL},
};

#define NAP_NANOSECONDS 5000000

/* ---- epoll objects ---- */

static bool
probe_epoll(void)
{
    PyObject *module = PyImport_ImportModule("select");
    PyObject *object = module != NULL ? PyObject_CallMethod(module, "epoll", NULL) : NULL;
    PyObject *number = object != NULL ? PyObject_CallMethod(object, "fileno", NULL) : NULL;
    bool as_expected = number != NULL && Py_TYPE(object)->tp_basicsize == sizeof(EpollObject)
        && ((EpollObject *)object)->descriptor == PyLong_AsLong(number);
    Py_XDECREF(number);
    Py_XDECREF(object);
    Py_XDECREF(module);
    PyErr_Clear();
    return as_expected;
}

/* Sorts the arguments of epoll.poll() into (timeout, maxevents). False: the original has to refuse them. */
static bool
epoll_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject *values[2])
{
    static const char *const keywords[] = {"timeout", "maxevents"};
    values[0] = values[1] = NULL;
    if (count > 2)
        return false;
    for (Py_ssize_t i = 0; i < count; i++)
        values[i] = args[i];
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        int place = 0;
        while (place < 2 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), keywords[place]) != 0)
            place++;
        if (place == 2 || values[place] != NULL)
            return false;
        values[place] = args[count + i];
    }
    return true;
}

static PyObject *
epoll_ask(PyObject *self, PyObject *most)
{
    PyObject *args[] = {PyLong_FromLong(0), most};
    PyObject *ready = point_original(&select_points[EPOLL_POLL], self, args, most != NULL ? 2 : 1, NULL);
    Py_DECREF(args[0]);
    return ready;
}

static PyObject *
epoll_wait_in(struct hub *hub, PyObject *self, PyObject *most, int64_t nanoseconds)
{
    int64_t deadline = 0;
    for (int outcome = UNPARKED;;) {
        PyObject *ready = epoll_ask(self, most);
        if (ready == NULL || PyList_GET_SIZE(ready) > 0 || outcome == TIMED_OUT)
            return ready;
        Py_DECREF(ready);
        if (deadline == 0)
            deadline = deadline_in(nanoseconds);
        int descriptor = ((EpollObject *)self)->descriptor;
        if (descriptor < 0)
            continue;                /* closed while the original was asked, which is to say so */
        outcome = hub_wait_descriptor(hub, descriptor, READING, deadline);
        if (outcome < 0)
            return NULL;
    }
}

static PyObject *
point_epoll_poll(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &select_points[EPOLL_POLL];
    struct hub *hub = point_hub(point);
    PyObject *values[2];
    if (hub == NULL || !epoll_arguments(args, count, names, values))
        return point_original(point, self, args, count, names);
    if (hub_give_way(hub) < 0)
        return NULL;
    int64_t nanoseconds = time_to_wait(values[0], &epoll_timing);
    if (nanoseconds == 0)
        return point_original(point, self, args, count, names);
    return epoll_wait_in(hub, self, values[1], nanoseconds);
}

/* The original marks the object as closed before it lets other threads run: whoever is woken is told so. */
static PyObject *
point_epoll_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int descriptor = ((EpollObject *)self)->descriptor;
    if (descriptor >= 0)
        descriptor_changed(descriptor, UNPARKED);
    return point_original_noargs(&select_points[EPOLL_CLOSE], self);
}

/* ---- waiting for several descriptors ---- */

enum watch_state { CLOSED, DIRECT, PRIVATE, NAPS };

/* What the hub watches for one call of select() or poll(). */
struct watch {
    enum watch_state state;
    int descriptor;                  /* DIRECT: the user's; PRIVATE: of the epoll instance */
    enum direction direction;
    uint32_t flags;                  /* EPOLLET from the second time on */
    pid_t process;                   /* PRIVATE: whose */
};

static void
watch_close(struct watch *watch)
{
    if (watch->state == PRIVATE)
        close(watch->descriptor);
    watch->state = CLOSED;
}

static void
watch_open(struct watch *watch)
{
    watch->descriptor = epoll_create1(EPOLL_CLOEXEC);
    watch->direction = READING;
    watch->state = watch->descriptor >= 0 ? PRIVATE : NAPS;
    watch->process = getpid();
}

static void
watch_add(struct watch *watch, int descriptor, uint32_t events)
{
    struct epoll_event event = {.events = events | watch->flags};
    if (watch->state != PRIVATE || epoll_ctl(watch->descriptor, EPOLL_CTL_ADD, descriptor, &event) == 0
        || errno == EPERM)
        return;
    watch_close(watch);
    watch->state = NAPS;
}

/* Looks at the only descriptor without a private instance, if that is enough. */
static bool
watch_directly(struct watch *watch, int descriptor, bool reading, bool writing)
{
    if (reading == writing || watch->flags != 0)
        return false;
    watch->state = DIRECT;
    watch->descriptor = descriptor;
    watch->direction = reading ? READING : WRITING;
    return true;
}

static int
nap(struct hub *hub, int64_t deadline)
{
    int64_t until = clock_now() + NAP_NANOSECONDS;
    if (until > deadline)
        until = deadline;
    if (hub_prepare(hub, FOR_TIME, 0) < 0 || hub_prepare_deadline(hub, until) < 0)
        return -1;
    int outcome = hub_park(hub);
    return outcome == TIMED_OUT && until < deadline ? UNPARKED : outcome;
}

/* Edges that nobody took out would wake again. */
static __attribute__((noinline)) void
watch_drain(const struct watch *watch)
{
    struct epoll_event events[64];
    while (epoll_wait(watch->descriptor, events, 64, 0) == 64)
        ;
}

/* Whether a wait has failed because the descriptor is closed: what that means is for the original to say. */
static bool
was_closed(struct hub *hub)
{
    return hub->thread->current->wait.outcome == DESCRIPTOR_CLOSED && PyErr_Occurred() == PyExc_OSError;
}

/* A forked child shares the instance, and whoever takes an edge out of it takes it from the other. */
static int
wait_for_private(struct hub *hub, const struct watch *watch, int64_t deadline)
{
    struct pollable *pollable = poller_get(&hub->poller, watch->descriptor);
    if (pollable == NULL)
        return -1;
    pollable->is_the_process_own = true;
    int outcome = hub_wait_descriptor(hub, watch->descriptor, READING, deadline);
    pollable->is_the_process_own = false;
    if (watch->flags != 0 && watch->process == getpid())
        watch_drain(watch);
    return outcome;
}

static int
watch_wait(struct hub *hub, struct watch *watch, int64_t deadline)
{
    if (watch->state == NAPS)
        return nap(hub, deadline);
    if (watch->state == PRIVATE)
        return wait_for_private(hub, watch, deadline);
    int outcome = hub_wait_descriptor(hub, watch->descriptor, watch->direction, deadline);
    if (outcome < 0 && was_closed(hub)) {
        PyErr_Clear();
        return UNPARKED;
    }
    return outcome;
}

/* ---- select() and poll() ---- */

/* A call that waits. */
struct call {
    /* The original's answer for now. New reference, or NULL with an exception set. */
    PyObject *(*ask)(const struct call *call);
    bool (*is_empty)(PyObject *answer);
    /* Opens the watch. Returns -1 with an exception set. */
    int (*open)(const struct call *call, struct watch *watch);
    int *running;                    /* not 0 while it waits; or NULL */
    PyObject *self;                  /* poll object */
    PyObject *sets[3];               /* for select() */
};

/* Parks once. A watch that woke for nothing is made anew, and so is a parent's. */
static int
call_park(struct hub *hub, const struct call *call, struct watch *watch, int64_t deadline)
{
    bool is_anothers = watch->state == PRIVATE && watch->flags != 0 && watch->process != getpid();
    if (watch->state != CLOSED && (watch->flags == 0 || is_anothers)) {
        watch_close(watch);
        watch->flags = EPOLLET;
    }
    if (watch->state == CLOSED && call->open(call, watch) < 0)
        return -1;
    if (call->running != NULL)
        *call->running = 1;
    int outcome = watch_wait(hub, watch, deadline);
    if (call->running != NULL)
        *call->running = 0;
    return outcome;
}

static PyObject *
call_wait(struct hub *hub, const struct call *call, PyObject *answer, int64_t nanoseconds)
{
    struct watch watch = {.state = CLOSED};
    int64_t deadline = deadline_in(nanoseconds);
    for (int outcome = UNPARKED; answer != NULL && outcome != TIMED_OUT && call->is_empty(answer);) {
        Py_CLEAR(answer);
        outcome = call_park(hub, call, &watch, deadline);
        if (outcome >= 0)
            answer = call->ask(call);
    }
    watch_close(&watch);
    return answer;
}

/* ---- poll objects ---- */

/* Whether another poll() is refused while the mark is set. */
static bool
probe_running(PyObject *object)
{
    ((PollObject *)object)->running = 1;
    PyObject *answer = PyObject_CallMethod(object, "poll", "i", 0);
    ((PollObject *)object)->running = 0;
    bool refused = answer == NULL && PyErr_ExceptionMatches(PyExc_RuntimeError);
    Py_XDECREF(answer);
    PyErr_Clear();
    return refused;
}

static bool
probe_poll(void)
{
    enum { SOME_NUMBER = 1000003 };
    PyObject *module = PyImport_ImportModule("select"), *nothing = NULL, *answer = NULL;
    PyObject *object = module != NULL ? PyObject_CallMethod(module, "poll", NULL) : NULL;
    if (object != NULL && Py_TYPE(object)->tp_basicsize == sizeof(PollObject))
        nothing = PyObject_CallMethod(object, "register", "ii", SOME_NUMBER, POLLIN);
    if (nothing != NULL)
        answer = PyObject_CallMethod(object, "poll", "i", 0);
    const PollObject *poll = (PollObject *)object;
    bool as_expected = answer != NULL && PyDict_CheckExact(poll->dict) && PyDict_GET_SIZE(poll->dict) == 1
        && poll->up_to_date == 1 && poll->length == 1 && poll->descriptors[0].fd == SOME_NUMBER
        && poll->descriptors[0].events == POLLIN && poll->running == 0 && probe_running(object);
    Py_XDECREF(answer);
    Py_XDECREF(nothing);
    Py_XDECREF(object);
    Py_XDECREF(module);
    PyErr_Clear();
    return as_expected;
}

static PyObject *
poll_ask(const struct call *call)
{
    PyObject *zero = PyLong_FromLong(0);
    PyObject *answer = point_original(&select_points[POLL], call->self, &zero, 1, NULL);
    Py_DECREF(zero);
    return answer;
}

static bool
poll_is_empty(PyObject *answer)
{
    return PyList_GET_SIZE(answer) == 0;
}

/* The descriptors that the original was asked about a moment ago. */
static int
poll_open(const struct call *call, struct watch *watch)
{
    const PollObject *poll = (PollObject *)call->self;
    const struct pollfd *only = poll->length == 1 ? poll->descriptors : NULL;
    if (only != NULL && (only->events & ~(POLLIN | POLLOUT)) == 0
        && watch_directly(watch, only->fd, only->events & POLLIN, only->events & POLLOUT))
        return 0;
    watch_open(watch);
    for (int i = 0; i < poll->length; i++)
        watch_add(watch, poll->descriptors[i].fd, (unsigned short)poll->descriptors[i].events);
    return 0;
}

static PyObject *
point_poll(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &select_points[POLL];
    struct hub *hub = point_hub(point);
    if (hub == NULL || count > 1)
        return point_original(point, self, args, count, NULL);
    if (hub_give_way(hub) < 0)
        return NULL;
    int64_t nanoseconds = time_to_wait(count > 0 ? args[0] : NULL, &poll_timing);
    if (nanoseconds == 0)
        return point_original(point, self, args, count, NULL);
    struct call call = {.ask = poll_ask, .is_empty = poll_is_empty, .open = poll_open,
                        .running = &((PollObject *)self)->running, .self = self};
    PyObject *answer = poll_ask(&call);
    if (answer == NULL || !poll_is_empty(answer))
        return answer;
    return call_wait(hub, &call, answer, nanoseconds);
}

/* ---- select() ---- */

static PyObject *
select_ask(const struct call *call)
{
    PyObject *args[] = {call->sets[0], call->sets[1], call->sets[2], PyLong_FromLong(0)};
    PyObject *answer = point_original(&select_points[SELECT], NULL, args, 4, NULL);
    Py_DECREF(args[3]);
    return answer;
}

/* 1 when what stands in a set has been closed, -1 with an exception set. */
static int
is_closed(PyObject *object)
{
    int descriptor = PyObject_AsFileDescriptor(object);
    if (descriptor >= 0)
        return fcntl(descriptor, F_GETFD) < 0 && errno == EBADF;
    if (!PyErr_ExceptionMatches(PyExc_ValueError))
        return -1;
    PyErr_Clear();
    return 1;
}

static PyObject *
closed_of(PyObject *set)
{
    PyObject *closed = PyList_New(0);
    for (Py_ssize_t i = 0; closed != NULL && i < PyTuple_GET_SIZE(set); i++) {
        int found = is_closed(PyTuple_GET_ITEM(set, i));
        if (found < 0 || (found > 0 && PyList_Append(closed, PyTuple_GET_ITEM(set, i)) < 0))
            Py_CLEAR(closed);
    }
    return closed;
}

/* The original refuses what has been closed since the call began. The kernel, in a call of its own that lasts, says that
   it is ready. */
static PyObject *
select_ask_again(const struct call *call)
{
    PyObject *answer = select_ask(call);
    if (answer != NULL || !(PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_OSError)))
        return answer;
    PyObject *refusal = PyErr_GetRaisedException();
    PyObject *closed[3] = {NULL};
    bool all_known = (closed[0] = closed_of(call->sets[0])) != NULL && (closed[1] = closed_of(call->sets[1])) != NULL
        && (closed[2] = closed_of(call->sets[2])) != NULL;
    if (all_known && PyList_GET_SIZE(closed[0]) + PyList_GET_SIZE(closed[1]) + PyList_GET_SIZE(closed[2]) > 0)
        answer = PyTuple_Pack(3, closed[0], closed[1], closed[2]);
    else if (all_known)
        PyErr_SetRaisedException(Py_NewRef(refusal));
    for (int i = 0; i < 3; i++)
        Py_XDECREF(closed[i]);
    Py_DECREF(refusal);
    return answer;
}

static bool
select_is_empty(PyObject *answer)
{
    for (int i = 0; i < 3; i++)
        if (PyList_GET_SIZE(PyTuple_GET_ITEM(answer, i)) > 0)
            return false;
    return true;
}

static const uint32_t select_events[3] = {
    EPOLLIN | EPOLLRDNORM | EPOLLRDBAND, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND, EPOLLPRI,
};

/* Adds the events of one of the three sets. Returns how many descriptors are new, -1 with an exception set. */
static int
select_collect(PyObject *set, uint32_t set_events, uint32_t events[FD_SETSIZE])
{
    int fresh = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(set); i++) {
        int descriptor = PyObject_AsFileDescriptor(PyTuple_GET_ITEM(set, i));
        if (descriptor < 0)
            return -1;
        if (descriptor >= FD_SETSIZE)
            continue;                /* changed its number: the original refuses it next time */
        fresh += events[descriptor] == 0;
        events[descriptor] |= set_events;
    }
    return fresh;
}

/* In a frame of its own, which is gone when the call parks. */
static __attribute__((noinline)) int
select_open(const struct call *call, struct watch *watch)
{
    uint32_t events[FD_SETSIZE] = {0};
    int count = 0;
    for (int i = 0; i < 3; i++) {
        int fresh = select_collect(call->sets[i], select_events[i], events);
        if (fresh < 0)
            return -1;
        count += fresh;
    }
    int first = 0;
    while (first < FD_SETSIZE && events[first] == 0)
        first++;
    if (count == 1 && !(events[first] & EPOLLPRI)
        && watch_directly(watch, first, events[first] & EPOLLIN, events[first] & EPOLLOUT))
        return 0;
    watch_open(watch);
    for (int descriptor = first; descriptor < FD_SETSIZE; descriptor++)
        if (events[descriptor] != 0)
            watch_add(watch, descriptor, events[descriptor]);
    return 0;
}

/* The call goes by what the sets hold now, however they change while it waits. */
static int
select_keep_sets(struct call *call)
{
    for (int i = 0; i < 3; i++) {
        PyObject *kept = PySequence_Tuple(call->sets[i]);
        if (kept == NULL)
            return -1;
        Py_SETREF(call->sets[i], kept);
    }
    return 0;
}

static PyObject *
select_wait(struct hub *hub, struct call *call, int64_t nanoseconds)
{
    PyObject *answer = select_ask(call);
    if (answer == NULL || !select_is_empty(answer))
        return answer;
    if (select_keep_sets(call) < 0) {
        Py_DECREF(answer);
        return NULL;
    }
    return call_wait(hub, call, answer, nanoseconds);
}

/* Iterators can be asked for what they hold only once. */
static int
select_take_sets(struct call *call, PyObject *const *args)
{
    for (int i = 0; i < 3; i++) {
        call->sets[i] = PyIter_Check(args[i]) ? PySequence_Tuple(args[i]) : Py_NewRef(args[i]);
        if (call->sets[i] == NULL)
            return -1;
    }
    return 0;
}

static PyObject *
point_select(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &select_points[SELECT];
    struct hub *hub = point_hub(point);
    if (hub == NULL || count < 3 || count > 4)
        return point_original(point, module, args, count, NULL);
    if (hub_give_way(hub) < 0)
        return NULL;
    int64_t nanoseconds = time_to_wait(count > 3 ? args[3] : NULL, &select_timing);
    if (nanoseconds == 0)
        return point_original(point, module, args, count, NULL);
    struct call call = {.ask = select_ask_again, .is_empty = select_is_empty, .open = select_open};
    PyObject *answer = select_take_sets(&call, args) == 0 ? select_wait(hub, &call, nanoseconds) : NULL;
    for (int i = 0; i < 3; i++)
        Py_XDECREF(call.sets[i]);
    return answer;
}
