/* The points of TLS: read, write, do_handshake, shutdown and sendfile of _ssl._SSLSocket, through which
   everything in the module ssl, and whoever is built on it, reads and writes.

   OpenSSL makes the system calls itself, so the original is tried. It answers "want read" or "want write"
   instead of waiting only if the socket's timeout is 0 and the descriptor has O_NONBLOCK. With one of the two
   alone it blocks, or turns in circles. Facts and decisions:

   - The socket's timeout is not touched: in the original the GIL is released, and other threads would see it,
     in gettimeout() or in calls of their own. For the call, the TLS object refers to a stand-in for the socket
     with timeout 0 instead (ssl_calls.c). This reaches sockets that were wrapped before we came, and nothing
     of it is left when the call parks. O_NONBLOCK, too, is there only while the original runs, unless the
     socket has a timeout and so has it anyway.
   - What is wanted is waited for as for any socket. The timeout is for the whole call, as CPython has it.
   - OpenSSL does not bear two threads in one connection: a read that finds nothing frees the buffer that another
     one reads into, and what is wanted is kept in one place for all. While descriptors block, a reading and
     a writing thread get away with it; ours does not block. So one call at a time is in the original, whosever it
     is, and native threads, too, poll instead of blocking in there, once the points are installed. (Only a call
     that a native thread was in by then is not known of.) Green threads of one hub never meet in there, but
     when a callback parks; who has to wait for another looks again after a moment.
   - A write that could not be finished has to be repeated with the same bytes before any other: OpenSSL refuses
     another, or takes its bytes for those of the first. And what one reader has made OpenSSL decrypt, or the
     end that it met, wakes no other: descriptors know nothing of it. So writers take turns, and so do readers.
     (CPython has no turns.) A descriptor is waited for after the original has been asked.
   - Callbacks of the handshake (server name, PSK) run in the original, with OpenSSL's frames below them. They
     may park, and what they call themselves is let in.
   - CPython 3.13.6 holds a mutex of the TLS object in the original. Nobody waits there, so nobody waits for it. */
#include "ssl.h"

#include "locks.h"

#include <errno.h>

static PyObject *point_handshake(PyObject *self, PyObject *ignored);
static PyObject *point_read(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *point_write(PyObject *self, PyObject *bytes);
static PyObject *point_sendfile(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *point_shutdown(PyObject *self, PyObject *ignored);
static bool ssl_probe(void);

#define SSL_POINT(method_name, ours, convention) \
    .module = "_ssl", .type = "_SSLSocket", .name = method_name, .function = (PyCFunction)(void (*)(void))ours, \
    .flags = convention, .kind = WAITER, .group = "ssl", .probe = ssl_probe

enum ssl_point { HANDSHAKE, READ, WRITE, SHUTDOWN, TLS_SENDFILE };

struct point ssl_points[] = {
    [HANDSHAKE] = {SSL_POINT("do_handshake", point_handshake, METH_NOARGS)},
    [READ] = {SSL_POINT("read", point_read, METH_FASTCALL)},
    [WRITE] = {SSL_POINT("write", point_write, METH_O)},
    [SHUTDOWN] = {SSL_POINT("shutdown", point_shutdown, METH_NOARGS)},
    [TLS_SENDFILE] = {SSL_POINT("sendfile", point_sendfile, METH_FASTCALL), .since = 0x030f},
    {.module = NULL},
};

static PyObject *want_errors[2];     /* by enum direction: ssl.SSLWantReadError, ssl.SSLWantWriteError */

static bool
ssl_probe(void)
{
    if (want_errors[WRITING] != NULL)
        return true;
    PyObject *module = ssl_calls_probe() ? PyImport_ImportModule("_ssl") : NULL;
    if (module != NULL) {
        want_errors[READING] = PyObject_GetAttrString(module, "SSLWantReadError");
        want_errors[WRITING] = PyObject_GetAttrString(module, "SSLWantWriteError");
        Py_DECREF(module);
    }
    PyErr_Clear();
    return want_errors[READING] != NULL && want_errors[WRITING] != NULL;
}

/* A call that goes on until the original has an answer. */
struct call {
    enum ssl_point which;
    PyObject *self, *const *args;
    Py_ssize_t count;
    struct hub *hub;                 /* NULL: a native thread's, which polls without the GIL */
    SocketObject *socket;
    struct ssl_calls *calls;
    int64_t deadline;
};

/* ---- trying ---- */

static PyObject *
call_original(const struct call *call, int64_t timeout)
{
    SocketObject *stand_in = ssl_enter(call->calls, call->socket, timeout);
    if (stand_in == NULL)
        return NULL;
    PyObject *result = point_original(&ssl_points[call->which], call->self, call->args, call->count, NULL);
    if (result == (PyObject *)stand_in) {
        /* shutdown() returns the socket */
        Py_DECREF(result);
        result = Py_NewRef((PyObject *)call->socket);
    }
    ssl_leave(call->calls, call->socket, stand_in);
    return result;
}

/* Whether the original asks to be called again, and what it waits for. The exception is cleared then. What a
   callback has raised meanwhile hangs on it, as its context: that is raised in its place. */
static bool
is_wanted(enum direction *direction)
{
    if (!PyErr_ExceptionMatches(want_errors[READING]) && !PyErr_ExceptionMatches(want_errors[WRITING]))
        return false;
    *direction = PyErr_ExceptionMatches(want_errors[READING]) ? READING : WRITING;
    PyObject *want = PyErr_GetRaisedException(), *handled = PyErr_GetHandledException();
    PyObject *context = PyException_GetContext(want);
    bool of_callback = context != NULL && context != handled;
    if (of_callback)
        PyErr_SetRaisedException(Py_NewRef(context));
    Py_XDECREF(context);
    Py_XDECREF(handled);
    Py_DECREF(want);
    return !of_callback;
}

enum answer { FINAL, WAIT, TRY_AGAIN };

/* Calls the original once. FINAL: `*result` is the answer, NULL with an exception set. The hub may have run
   since the system call that was told EAGAIN: an edge that it saw is not to be waited for again. */
static enum answer
try_once(const struct call *call, PyObject **result, enum direction *direction)
{
    struct pollable *pollable = call->hub != NULL ? poller_get(&call->hub->poller, call->socket->descriptor) : NULL;
    *result = NULL;
    if (call->hub != NULL && pollable == NULL)
        return FINAL;
    bool *ready = pollable != NULL ? pollable->ready : (bool[2]){false, false};
    bool before[2] = {ready[READING], ready[WRITING]};
    ready[READING] = ready[WRITING] = false;
    *result = call_original(call, 0);
    bool again = *result == NULL && is_wanted(direction);
    bool edge = again && ready[*direction];
    for (int each = READING; each <= WRITING; each++)
        ready[each] |= before[each] && !(again && each == (int)*direction);
    if (again)
        return edge ? TRY_AGAIN : WAIT;
    /* who reads meanwhile is to see what a shutdown() has met */
    ready[READING] |= call->which == SHUTDOWN;
    socket_pass_on(call->hub, call->socket, READING);
    socket_pass_on(call->hub, call->socket, WRITING);
    return FINAL;
}

/* ---- waiting ---- */

/* Always -1. */
static int
timed_out(const struct call *call, enum direction direction)
{
    static const char *const names[] = {
        [HANDSHAKE] = "handshake", [READ] = "read", [WRITE] = "write", [TLS_SENDFILE] = "sendfile",
    };
    const char *name = call->which == SHUTDOWN ? names[direction == READING ? READ : WRITE] : names[call->which];
    PyErr_Format(PyExc_TimeoutError, "The %s operation timed out", name);
    return -1;
}

/* Waits a moment, a longer one each time. `*pause` (nanoseconds) starts as 0. */
static int
wait_a_moment(const struct call *call, int64_t *pause)
{
    int64_t now = clock_now();
    if (now >= call->deadline)
        return timed_out(call, READING);
    *pause = *pause == 0 ? 50000 : *pause < 10000000 ? *pause * 2 : *pause;
    int64_t until = call->deadline - now < *pause ? call->deadline : now + *pause;
    if (call->hub != NULL)
        return hub_pause(call->hub, (double)(until - now) / 1e9);
    return wait_natively(-1, READING, until) < 0 ? -1 : 0;
}

static bool
is_occupied(const struct ssl_calls *calls)
{
    return calls->inside > 0 && calls->insider != ssl_caller();
}

static PyObject *
handshake_timed_out(const struct call *call)
{
    if (!is_occupied(call->calls))
        return call_original(call, 1);    /* its message names a line of its own source */
    timed_out(call, READING);
    return NULL;
}

static PyObject *
go_on(struct call *call)
{
    for (;;) {
        PyObject *result;
        enum direction direction = READING;
        for (int64_t pause = 0; is_occupied(call->calls);)
            if (wait_a_moment(call, &pause) < 0)
                return NULL;
        if (call->socket->descriptor < 0)
            return os_error(EBADF);    /* closed meanwhile; OpenSSL would use the number all the same */
        switch (try_once(call, &result, &direction)) {
        case FINAL:
            return result;
        case TRY_AGAIN:
            continue;
        case WAIT:
            break;
        }
        int outcome = socket_wait_until(call->hub, call->socket, direction, &call->deadline);
        if (outcome == TIMED_OUT && call->which == HANDSHAKE)
            return handshake_timed_out(call);
        if (outcome == TIMED_OUT)
            timed_out(call, direction);
        if (outcome != UNPARKED)
            return NULL;
    }
}

/* Who waits for a turn stands in the parking lot: a writer at the TLS object, a reader at its socket. */
static PyObject *
place_of(const struct call *call, enum direction direction)
{
    return direction == WRITING ? call->self : (PyObject *)call->socket;
}

static int
turn_take(struct call *call, enum direction direction)
{
    bool *taken = &call->calls->taken[direction];
    PyObject *place = place_of(call, direction);
    int64_t pause = 0;
    for (bool again = false; *taken; again = true) {
        int outcome = call->hub != NULL ? parking_lot_park(call->hub, place, call->deadline, again)
                                        : wait_a_moment(call, &pause);
        if (outcome == TIMED_OUT)
            return timed_out(call, direction);
        if (outcome < 0) {
            /* it may have been woken before it was interrupted: then it is the next one's turn */
            if (!*taken)
                parking_lot_unpark(place);
            return -1;
        }
    }
    *taken = true;
    return 0;
}

static void
turn_give(struct call *call, enum direction direction)
{
    call->calls->taken[direction] = false;
    parking_lot_unpark(place_of(call, direction));
}

/* Keeps others from resizing the buffer that a call reads into or writes from, as the original does in one call. */
static void
buffer_hold(const struct call *call, Py_buffer *view)
{
    PyObject *buffer = call->which == WRITE                      ? call->args[0]
                       : call->which == READ && call->count == 2 ? call->args[1]
                                                                 : NULL;
    if (buffer == NULL || PyBytes_CheckExact(buffer) || PyObject_GetBuffer(buffer, view, PyBUF_SIMPLE) == 0)
        return;
    PyErr_Clear();                   /* the original says what is wrong with it */
    view->obj = NULL;
}

static PyObject *
call_patiently(struct call *call)
{
    Py_buffer view = {.obj = NULL};
    bool in_turn = call->which != HANDSHAKE && call->which != SHUTDOWN;
    enum direction direction = call->which == READ ? READING : WRITING;
    PyObject *result = NULL;
    if (call->hub != NULL && hub_give_way_at_times(call->hub) < 0)
        return NULL;
    buffer_hold(call, &view);
    if (!in_turn) {
        result = go_on(call);
    }
    else if (turn_take(call, direction) == 0) {
        result = go_on(call);
        turn_give(call, direction);
    }
    if (view.obj != NULL)
        PyBuffer_Release(&view);
    return result;
}

/* ---- the points ---- */

static int64_t
deadline_of(const SocketObject *socket)
{
    int64_t deadline;
    bool never = socket->timeout < 0 || __builtin_add_overflow(clock_now(), socket->timeout, &deadline);
    return never ? INT64_MAX : deadline;
}

static PyObject *
point_call(enum ssl_point which, PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct point *point = &ssl_points[which];
    SocketObject *socket = likely(point->on) ? ssl_socket_of(self) : NULL;
    PyObject *result = NULL;
    if (socket == NULL || socket->timeout == 0 || socket->descriptor < 0) {
        result = point_original(point, self, args, count, NULL);
    }
    else {
        struct call call = {.which = which, .self = self, .args = args, .count = count, .socket = socket,
                            .hub = point_hub(point), .calls = ssl_call_begin(self),
                            .deadline = deadline_of(socket)};
        if (call.calls != NULL) {
            result = call_patiently(&call);
            ssl_call_end(call.calls);
        }
    }
    Py_XDECREF(socket);
    return result;
}

static PyObject *
point_handshake(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return point_call(HANDSHAKE, self, NULL, 0);
}

static PyObject *
point_read(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return point_call(READ, self, args, count);
}

static PyObject *
point_write(PyObject *self, PyObject *bytes)
{
    return point_call(WRITE, self, &bytes, 1);
}

static PyObject *
point_sendfile(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return point_call(TLS_SENDFILE, self, args, count);
}

static PyObject *
point_shutdown(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return point_call(SHUTDOWN, self, NULL, 0);
}
