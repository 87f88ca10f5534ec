/* recvfrom, recvmsg, sendto, sendmsg and their kind: addresses and ancillary data are the original's
   business, so it makes the system call, with MSG_DONTWAIT among the flags.

   - A socket with a timeout would poll for it first: such a call is made on a stand-in that has none.
   - Arguments that can be read once only (generators) are kept for the next try. What is wrong is passed on
     as it is: the original looks at all its arguments before it does anything.
   - The kernel's blocking send goes on until all is gone when the socket is a stream: so does ours.
   - When a Unix datagram socket is sent to by address and the receiver is full, nothing tells when that
     ends: it is tried again every few milliseconds. */
#include "socket.h"

#include <errno.h>
#include <limits.h>

enum { MOST_ARGUMENTS = 4 };

/* A call of an original. */
struct call {
    enum socket_point which;
    enum direction direction;
    PyObject *self;
    PyObject *args[MOST_ARGUMENTS];  /* owned */
    Py_ssize_t count;
    int flags;
};

/* ---- arguments ---- */

Py_ssize_t
positional_from(PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject *row[3])
{
    static const char *const known[] = {"buffer", "nbytes", "flags"};
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0, filled = 0;
    if (count + named > 3)
        return -1;
    row[0] = row[1] = row[2] = NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        row[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        Py_ssize_t place = 0;
        while (place < 3 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), known[place]) != 0)
            place++;
        if (place == 3 || row[place] != NULL)
            return -1;
        row[place] = args[count + i];
    }
    for (Py_ssize_t i = 0; i < 3; i++)
        if (row[i] != NULL)
            filled = i + 1;
    if (filled == 3 && row[1] == NULL)
        row[1] = Py_False;    /* the default, 0 */
    return row[0] != NULL ? filled : -1;
}

/* A sequence that can be gone through again. New reference, or NULL with an exception set. */
static PyObject *
keepable(PyObject *argument)
{
    bool again = PyList_Check(argument) || PyTuple_Check(argument);
    return again || !PyIter_Check(argument) ? Py_NewRef(argument) : PySequence_Tuple(argument);
}

/* The number given at `place`, with MSG_DONTWAIT. New reference; what is no number stays what it is. */
static PyObject *
patient_flags(struct call *call, PyObject *given)
{
    if (given == NULL)
        return PyLong_FromLong(MSG_DONTWAIT);
    PyObject *number = PyLong_Check(given) || PyIndex_Check(given) ? number_from(given) : NULL;
    int overflow = 0;
    long flags = number != NULL ? PyLong_AsLongAndOverflow(number, &overflow) : 0;
    Py_XDECREF(number);
    if (number == NULL || overflow != 0 || flags < INT_MIN || flags > INT_MAX)
        return Py_NewRef(given);
    call->flags = (int)flags;
    return PyLong_FromLong(flags | MSG_DONTWAIT);
}

static void
call_clear(struct call *call)
{
    for (Py_ssize_t i = 0; i < MOST_ARGUMENTS; i++)
        Py_CLEAR(call->args[i]);
}

/* Copies the arguments, with flags at `place` and `filler` where one in between is not given. Returns -1
   with an exception set. */
static int
call_fill(struct call *call, PyObject *const *args, Py_ssize_t count, Py_ssize_t place, PyObject *filler)
{
    call->count = count > place ? count : place + 1;
    bool complete = true;
    for (Py_ssize_t i = 0; i < call->count; i++) {
        PyObject *given = i < count ? args[i] : NULL;
        if (i == place)
            call->args[i] = patient_flags(call, given);
        else
            call->args[i] = given != NULL ? keepable(given) : Py_NewRef(filler);
        complete = complete && call->args[i] != NULL;
    }
    if (complete)
        return 0;
    call_clear(call);
    return -1;
}

/* ---- calling ---- */

/* Whether the receiver's being full, which no descriptor tells of, is what stands in the way. */
static bool
is_sent_by_address(const struct call *call)
{
    const SocketObject *socket = (SocketObject *)call->self;
    bool addressed = call->which == SENDTO || (call->which == SENDMSG && call->count == 4 && call->args[3] != Py_None);
    return addressed && socket->family == AF_UNIX && socket->type != SOCK_STREAM;
}

static PyObject *
call_patiently(struct hub *hub, const struct call *call)
{
    const SocketObject *socket = (SocketObject *)call->self;
    int64_t deadline = 0, pause = 0;
    if (socket_give_way(hub, socket, call->flags) < 0)
        return NULL;
    for (;;) {
        PyObject *result = call_at_once(&socket_points[call->which], call->self, call->args, call->count);
        if (result != NULL || pending_errno() != EAGAIN || !may_wait(socket, call->flags)) {
            socket_pass_on(hub, socket, call->direction);
            return result;
        }
        PyErr_Clear();
        int waited = is_sent_by_address(call) ? socket_wait_a_moment(hub, socket, &deadline, &pause)
                                              : socket_wait(hub, socket, call->direction, &deadline);
        if (waited < 0)
            return NULL;
    }
}

/* ---- the points that receive ---- */

static PyObject *
receive_message(enum socket_point which, PyObject *self, PyObject *const *args, Py_ssize_t count, Py_ssize_t place)
{
    const struct point *point = &socket_points[which];
    struct hub *hub = point_hub(point);
    if (runs_original(hub, (SocketObject *)self) || count < 1 || count > place + 1)
        return point_original(point, self, args, count, NULL);
    struct call call = {.which = which, .direction = READING, .self = self};
    if (call_fill(&call, args, count, place, Py_False) < 0)
        return NULL;
    PyObject *result = call_patiently(hub, &call);
    call_clear(&call);
    return result;
}

PyObject *
socket_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return receive_message(RECVFROM, self, args, count, 1);
}

PyObject *
socket_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *row[3];
    Py_ssize_t given = positional_from(args, count, names, row);
    if (given < 0)
        return point_original(&socket_points[RECVFROM_INTO], self, args, count, names);
    return receive_message(RECVFROM_INTO, self, row, given, 2);
}

PyObject *
socket_recvmsg(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return receive_message(RECVMSG, self, args, count, 2);
}

PyObject *
socket_recvmsg_into(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return receive_message(RECVMSG_INTO, self, args, count, 2);
}

/* ---- the points that send ---- */

/* What `part` has beyond the first `*skip` bytes, sent on; `*skip` is what is left to skip. Returns how
   many bytes went, -1 with an exception set. */
static Py_ssize_t
send_beyond(struct hub *hub, const struct call *call, PyObject *part, Py_ssize_t *skip)
{
    Py_buffer view;
    if (PyObject_GetBuffer(part, &view, PyBUF_SIMPLE) < 0)
        return -1;
    Py_ssize_t skipped = *skip < view.len ? *skip : view.len, sent = 0;
    *skip -= skipped;
    if (skipped < view.len)
        sent = transmit(hub, (SocketObject *)call->self,
                        (struct sending){.data = (char *)view.buf + skipped, .size = view.len - skipped,
                                         .flags = call->flags, .all = true});
    bool complete = sent == view.len - skipped;
    PyBuffer_Release(&view);
    if (sent >= 0 && !complete)
        *skip = -1;
    return sent;
}

/* After a stream took `result` bytes only of `parts`: the rest. As the kernel's, an error then is not this
   call's but the next one's, and so is an interrupt. Takes over the reference to `result`. */
static PyObject *
send_rest(struct hub *hub, const struct call *call, PyObject *parts, PyObject *result)
{
    Py_ssize_t total = PyLong_AsSsize_t(result), skip = total;
    Py_DECREF(result);
    PyObject *sequence = PySequence_Fast(parts, "");
    if (sequence == NULL)
        return NULL;
    Py_ssize_t sent = 0;
    for (Py_ssize_t i = 0; skip >= 0 && sent >= 0 && i < PySequence_Fast_GET_SIZE(sequence); i++) {
        sent = send_beyond(hub, call, PySequence_Fast_GET_ITEM(sequence, i), &skip);
        total += sent > 0 ? sent : 0;
    }
    Py_DECREF(sequence);
    if (sent < 0 && !point_put_off(hub))
        return NULL;
    return PyLong_FromSsize_t(total);
}

PyObject *
socket_sendto(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &socket_points[SENDTO];
    struct hub *hub = point_hub(point);
    if (runs_original(hub, (SocketObject *)self) || count < 2 || count > 3)
        return point_original(point, self, args, count, NULL);
    struct call call = {.which = SENDTO, .direction = WRITING, .self = self, .count = 3};
    call.args[0] = Py_NewRef(args[0]);
    call.args[1] = patient_flags(&call, count == 3 ? args[1] : NULL);
    call.args[2] = address_resolved(hub, (SocketObject *)self, args[count - 1]);
    PyObject *result = call.args[1] != NULL && call.args[2] != NULL ? call_patiently(hub, &call) : NULL;
    if (result != NULL && sends_all((SocketObject *)self, call.flags)) {
        PyObject *parts = PyTuple_Pack(1, args[0]);
        result = parts != NULL ? send_rest(hub, &call, parts, result) : result;
        Py_XDECREF(parts);
    }
    call_clear(&call);
    return result;
}

/* Puts the address of sendmsg() as numbers. Returns -1 with an exception set. */
static int
address_resolve(struct call *call, struct hub *hub)
{
    PyObject *given = call->args[3];
    call->args[3] = address_resolved(hub, (SocketObject *)call->self, given);
    Py_DECREF(given);
    return call->args[3] != NULL ? 0 : -1;
}

PyObject *
socket_sendmsg(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &socket_points[SENDMSG];
    struct hub *hub = point_hub(point);
    if (runs_original(hub, (SocketObject *)self) || count < 1 || count > MOST_ARGUMENTS)
        return point_original(point, self, args, count, NULL);
    struct call call = {.which = SENDMSG, .direction = WRITING, .self = self};
    if (call_fill(&call, args, count, 2, core.empty_tuple) < 0)
        return NULL;
    bool resolved = count < 4 || address_resolve(&call, hub) == 0;
    PyObject *result = resolved ? call_patiently(hub, &call) : NULL;
    if (result != NULL && sends_all((SocketObject *)self, call.flags))
        result = send_rest(hub, &call, call.args[0], result);
    call_clear(&call);
    return result;
}
