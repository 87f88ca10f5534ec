/* recvfrom, recvmsg, sendto, sendmsg and their kind: addresses and ancillary data are the original's
   business, so it makes the system call, with MSG_DONTWAIT among the flags.

   - A socket with a timeout would poll for it first: such a call is made on a stand-in that has none.
   - Arguments are those of the beginning, whatever becomes of them during a wait: lists, and generators, which can be
     read once only, are copied, an __index__() is asked for its number once, and buffers cannot be resized before the
     call has returned. What is wrong is passed on as it is: the original looks at all its arguments before it does
     anything.
   - The kernel's blocking send goes on until all is gone when the socket is a stream: so does ours.
   - When a Unix datagram socket is sent to by address and the receiver is full, nothing tells when that
     ends: it is tried again every few milliseconds. */
#include "socket_messages.h"

#include <errno.h>
#include <limits.h>

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

/* Whether the argument at `place` is several buffers, or ancillary data. */
static bool
is_series(const struct message_call *call, Py_ssize_t place)
{
    return call->which == SENDMSG ? place < 2 : call->which == RECVMSG_INTO && place == 0;
}

/* What is in a sequence or an iterator now. New reference, or NULL with an exception set. */
static PyObject *
series_from(PyObject *argument)
{
    bool is_iterable = Py_TYPE(argument)->tp_iter != NULL || PySequence_Check(argument);
    return is_iterable ? PySequence_Tuple(argument) : Py_NewRef(argument);
}

/* The number that an argument stands for now; what is no number stays what it is. New reference. */
static PyObject *
number_or_given(PyObject *given)
{
    PyObject *number = PyIndex_Check(given) ? number_from(given) : NULL;
    return number != NULL ? number : Py_NewRef(given);
}

/* The number given at `place`, with MSG_DONTWAIT. New reference; what is no number stays what it is. */
static PyObject *
patient_flags(struct message_call *call, PyObject *given)
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
call_clear(struct message_call *call)
{
    for (Py_ssize_t i = 0; i < MOST_ARGUMENTS; i++)
        Py_CLEAR(call->args[i]);
}

/* What the call gets for `given`, the argument at `i`; NULL: there is none. New reference, or NULL with an exception
   set. */
static PyObject *
argument_kept(struct message_call *call, Py_ssize_t i, PyObject *given, PyObject *filler)
{
    if (given == NULL)
        return Py_NewRef(filler);
    return is_series(call, i) ? series_from(given) : call->which == SENDMSG ? Py_NewRef(given) : number_or_given(given);
}

/* Copies the arguments, with flags at `place` and `filler` where one in between is not given. Returns -1
   with an exception set. */
static int
call_fill(struct message_call *call, PyObject *const *args, Py_ssize_t count, Py_ssize_t place, PyObject *filler)
{
    call->count = count > place ? count : place + 1;
    for (Py_ssize_t i = 0; i < call->count; i++) {
        PyObject *given = i < count ? args[i] : NULL;
        call->args[i] = i == place ? patient_flags(call, given) : argument_kept(call, i, given, filler);
        if (call->args[i] == NULL) {
            call_clear(call);
            return -1;
        }
    }
    return 0;
}

/* ---- holding on to buffers ---- */

static PyObject *
views_of(PyObject *buffers)
{
    PyObject *views = PyTuple_New(PyTuple_GET_SIZE(buffers));
    for (Py_ssize_t i = 0; views != NULL && i < PyTuple_GET_SIZE(buffers); i++) {
        PyObject *view = PyMemoryView_FromObject(PyTuple_GET_ITEM(buffers, i));
        if (view != NULL)
            PyTuple_SET_ITEM(views, i, view);
        else
            Py_CLEAR(views);
    }
    return views;
}

/* (level, type, bytes) for each, as the kernel takes it at the beginning. */
static PyObject *
ancillary_copied(PyObject *ancillary)
{
    PyObject *copies = PyTuple_New(PyTuple_GET_SIZE(ancillary));
    for (Py_ssize_t i = 0; copies != NULL && i < PyTuple_GET_SIZE(ancillary); i++) {
        PyObject *item = PySequence_Tuple(PyTuple_GET_ITEM(ancillary, i));
        PyObject *data = item != NULL && PyTuple_GET_SIZE(item) == 3 ? PyBytes_FromObject(PyTuple_GET_ITEM(item, 2)) : NULL;
        PyObject *copy = data != NULL ? PyTuple_Pack(3, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1), data) : NULL;
        Py_XDECREF(data);
        Py_XDECREF(item);
        if (copy != NULL)
            PyTuple_SET_ITEM(copies, i, copy);
        else
            Py_CLEAR(copies);
    }
    return copies;
}

static int
argument_replace(struct message_call *call, Py_ssize_t place, PyObject *replacement)
{
    if (replacement == NULL)
        return -1;
    Py_SETREF(call->args[place], replacement);
    return 0;
}

/* The original has accepted them all. */
int
call_hold(struct message_call *call)
{
    call->is_held = true;
    switch (call->which) {
    case SENDTO:
    case RECVFROM_INTO:
        return argument_replace(call, 0, PyMemoryView_FromObject(call->args[0]));
    case RECVMSG_INTO:
        return argument_replace(call, 0, views_of(call->args[0]));
    case SENDMSG:
        if (argument_replace(call, 1, ancillary_copied(call->args[1])) < 0)
            return -1;
        return argument_replace(call, 0, views_of(call->args[0]));
    default:
        return 0;
    }
}

/* ---- calling ---- */

/* Whether the receiver's being full, which no descriptor tells of, is what stands in the way. */
static bool
is_sent_by_address(const struct message_call *call)
{
    const SocketObject *socket = (SocketObject *)call->self;
    bool addressed = call->which == SENDTO || (call->which == SENDMSG && call->count == 4 && call->args[3] != Py_None);
    return addressed && socket->family == AF_UNIX && socket->type != SOCK_STREAM;
}

PyObject *
call_patiently(struct hub *hub, struct message_call *call)
{
    const SocketObject *socket = (SocketObject *)call->self;
    int64_t deadline = 0, pause = 0;
    if (socket_give_way(hub, socket, call->flags) < 0)
        return NULL;
    for (;;) {
        PyObject *result = call_at_once(&socket_points[call->which], call->self, call->args, call->count, call->is_held);
        if (result != NULL || pending_errno() != EAGAIN || !may_wait(socket, call->flags)) {
            socket_pass_on(hub, socket, call->direction);
            return result;
        }
        PyErr_Clear();
        if (!call->is_held && call_hold(call) < 0)
            return NULL;
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
    struct message_call call = {.which = which, .direction = READING, .self = self};
    if (call_fill(&call, args, count, place, Py_False) < 0)
        return NULL;
    PyObject *result = call_patiently(hub, &call);
    if (result != NULL && receives_all((SocketObject *)self, call.flags))
        result = receive_rest(hub, &call, result);
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
send_beyond(struct hub *hub, const struct message_call *call, PyObject *part, Py_ssize_t *skip)
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

/* The parts that a call sends: its first argument is one, or a tuple of several. Borrowed. */
static PyObject *
part_of(const struct message_call *call, Py_ssize_t i)
{
    if (call->which == SENDTO)
        return i == 0 ? call->args[0] : NULL;
    return i < PyTuple_GET_SIZE(call->args[0]) ? PyTuple_GET_ITEM(call->args[0], i) : NULL;
}

/* How many bytes there are to send; -1 with an exception set. */
static Py_ssize_t
size_of_parts(const struct message_call *call)
{
    Py_ssize_t size = 0;
    PyObject *part;
    for (Py_ssize_t i = 0; (part = part_of(call, i)) != NULL; i++) {
        Py_buffer view;
        if (PyObject_GetBuffer(part, &view, PyBUF_SIMPLE) < 0)
            return -1;
        size += view.len;
        PyBuffer_Release(&view);
    }
    return size;
}

/* After a stream took `result` bytes only: the rest. As the kernel's, an error then is not this call's but the next
   one's, and so is an interrupt. Takes over the reference to `result`. */
static PyObject *
send_rest(struct hub *hub, struct message_call *call, PyObject *result)
{
    Py_ssize_t total = PyLong_AsSsize_t(result), skip = total, sent = size_of_parts(call);
    if (sent == total)
        return result;
    Py_DECREF(result);
    if (sent < 0 || (!call->is_held && call_hold(call) < 0))
        return NULL;
    PyObject *part;
    for (Py_ssize_t i = 0; skip >= 0 && sent >= 0 && (part = part_of(call, i)) != NULL; i++) {
        sent = send_beyond(hub, call, part, &skip);
        total += sent > 0 ? sent : 0;
    }
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
    struct message_call call = {.which = SENDTO, .direction = WRITING, .self = self, .count = 3};
    call.args[0] = Py_NewRef(args[0]);
    call.args[1] = patient_flags(&call, count == 3 ? args[1] : NULL);
    call.args[2] = call.args[1] != NULL ? address_resolved(hub, (SocketObject *)self, args[count - 1]) : NULL;
    PyObject *result = call.args[2] != NULL ? call_patiently(hub, &call) : NULL;
    if (result != NULL && sends_all((SocketObject *)self, call.flags))
        result = send_rest(hub, &call, result);
    call_clear(&call);
    return result;
}

/* Puts the address of sendmsg() as numbers. Returns -1 with an exception set. */
static int
address_resolve(struct message_call *call, struct hub *hub)
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
    struct message_call call = {.which = SENDMSG, .direction = WRITING, .self = self};
    if (call_fill(&call, args, count, 2, core.empty_tuple) < 0)
        return NULL;
    bool resolved = count < 4 || address_resolve(&call, hub) == 0;
    PyObject *result = resolved ? call_patiently(hub, &call) : NULL;
    if (result != NULL && sends_all((SocketObject *)self, call.flags))
        result = send_rest(hub, &call, result);
    call_clear(&call);
    return result;
}
