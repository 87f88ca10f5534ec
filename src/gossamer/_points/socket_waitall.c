/* recvfrom, recvmsg and their kind with MSG_WAITALL: what a blocking stream does, going on until all the bytes that
   were asked for are there, or the end.

   - The first piece's address is the call's. Flags of all the pieces count. Ancillary data that comes with each piece,
     such as credentials, is told once.
   - Passed descriptors end a call, as in the kernel: nobody waits with some in hand, which an interrupt would lose.
   - Interrupted after a part, the part is what is returned (point_put_off).
   - With MSG_PEEK all of it is asked for each time. What is there stays there, so that no descriptor tells when there
     is more: it is looked at again after a moment. */
#include "socket_messages.h"

/* What has come so far. */
struct gathering {
    Py_ssize_t size, wanted;
    PyObject *bytes;                 /* of `wanted` bytes; NULL: they go into the caller's buffers */
    PyObject *result;                /* of the first piece; with ancillary data, its list is added to */
    long message_flags;
};

static bool
fills_buffers(const struct message_call *call)
{
    return call->which == RECVFROM_INTO || call->which == RECVMSG_INTO;
}

static bool
tells_ancillary_data(const struct message_call *call)
{
    return call->which == RECVMSG || call->which == RECVMSG_INTO;
}

static PyObject *
slice_of(PyObject *view, Py_ssize_t begin, Py_ssize_t end)
{
    Py_buffer *buffer = PyMemoryView_GET_BUFFER(view);
    return PyMemoryView_FromMemory((char *)buffer->buf + begin, end - begin, PyBUF_WRITE);
}

/* ---- how much ---- */

/* Of a call whose buffers are held; -1 with an exception set. An object with __buffer__() may have shown the original
   more than it shows now. */
static Py_ssize_t
bytes_wanted(const struct message_call *call)
{
    Py_ssize_t total = 0, limit;
    switch (call->which) {
    case RECVFROM_INTO:
        limit = PyNumber_AsSsize_t(call->args[1], PyExc_OverflowError);
        total = PyMemoryView_GET_BUFFER(call->args[0])->len;
        return limit != 0 && limit < total ? limit : total;
    case RECVMSG_INTO:
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(call->args[0]); i++)
            total += PyMemoryView_GET_BUFFER(PyTuple_GET_ITEM(call->args[0], i))->len;
        return total;
    default:
        return PyNumber_AsSsize_t(call->args[0], PyExc_OverflowError);
    }
}

static Py_ssize_t
size_of(PyObject *result)
{
    PyObject *data = PyTuple_GET_ITEM(result, 0);
    return PyBytes_Check(data) ? PyBytes_GET_SIZE(data) : PyLong_AsSsize_t(data);
}

/* Whether the kernel goes no further after this piece. */
static bool
is_the_last(const struct message_call *call, PyObject *result)
{
    if (size_of(result) == 0)
        return true;
    if (!tells_ancillary_data(call))
        return false;
    if (PyLong_AsLong(PyTuple_GET_ITEM(result, 2)) & MSG_CTRUNC)
        return true;
    PyObject *ancillary = PyTuple_GET_ITEM(result, 1);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(ancillary); i++) {
        PyObject *item = PyList_GET_ITEM(ancillary, i);
        if (PyLong_AsLong(PyTuple_GET_ITEM(item, 0)) == SOL_SOCKET && PyLong_AsLong(PyTuple_GET_ITEM(item, 1)) == SCM_RIGHTS)
            return true;
    }
    return false;
}

/* ---- putting together ---- */

static PyObject *
buffers_beyond(PyObject *views, Py_ssize_t skip)
{
    PyObject *rest = PyList_New(0);
    for (Py_ssize_t i = 0; rest != NULL && i < PyTuple_GET_SIZE(views); i++) {
        PyObject *view = PyTuple_GET_ITEM(views, i);
        Py_ssize_t length = PyMemoryView_GET_BUFFER(view)->len, skipped = skip < length ? skip : length;
        skip -= skipped;
        PyObject *slice = skipped < length ? slice_of(view, skipped, length) : NULL;
        if (PyErr_Occurred() || (slice != NULL && PyList_Append(rest, slice) < 0))
            Py_CLEAR(rest);
        Py_XDECREF(slice);
    }
    return rest;
}

/* What the original is to be given in the first place for the bytes that are missing. */
static PyObject *
first_argument(const struct message_call *call, const struct gathering *gathering)
{
    if (call->which == RECVFROM_INTO)
        return slice_of(call->args[0], gathering->size, gathering->wanted);
    if (call->which == RECVMSG_INTO)
        return buffers_beyond(call->args[0], gathering->size);
    return PyLong_FromSsize_t(gathering->wanted - gathering->size);
}

static PyObject *
call_for_missing(struct hub *hub, const struct message_call *call, const struct gathering *gathering)
{
    struct message_call next = *call;
    next.is_held = true;
    next.args[0] = first_argument(call, gathering);
    if (call->which == RECVFROM_INTO)
        next.args[1] = Py_False;     /* all of the buffer */
    PyObject *piece = next.args[0] != NULL ? call_patiently(hub, &next) : NULL;
    Py_XDECREF(next.args[0]);
    return piece;
}

/* Adds what is not there yet. Returns -1 with an exception set. */
static int
ancillary_add(PyObject *list, PyObject *more)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(more); i++) {
        int known = PySequence_Contains(list, PyList_GET_ITEM(more, i));
        if (known < 0 || (!known && PyList_Append(list, PyList_GET_ITEM(more, i)) < 0))
            return -1;
    }
    return 0;
}

/* Returns -1 with an exception set. */
static int
gather(struct gathering *gathering, const struct message_call *call, PyObject *piece)
{
    PyObject *data = PyTuple_GET_ITEM(piece, 0);
    Py_ssize_t size = size_of(piece);
    if (gathering->bytes != NULL)
        memcpy(PyBytes_AS_STRING(gathering->bytes) + gathering->size, PyBytes_AS_STRING(data), (size_t)size);
    gathering->size += size;
    if (!tells_ancillary_data(call))
        return 0;
    gathering->message_flags |= PyLong_AsLong(PyTuple_GET_ITEM(piece, 2));
    if (piece == gathering->result)
        return 0;
    return ancillary_add(PyTuple_GET_ITEM(gathering->result, 1), PyTuple_GET_ITEM(piece, 1));
}

/* The tuple that the call returns. */
static PyObject *
gathered(struct gathering *gathering, const struct message_call *call)
{
    PyObject *data = gathering->bytes, *first = gathering->result;
    gathering->bytes = NULL;
    if (data == NULL)
        data = PyLong_FromSsize_t(gathering->size);
    else if (gathering->size < gathering->wanted)
        _PyBytes_Resize(&data, gathering->size);
    if (data == NULL)
        return NULL;
    return tells_ancillary_data(call) ? Py_BuildValue("NOlO", data, PyTuple_GET_ITEM(first, 1), gathering->message_flags,
                                                      PyTuple_GET_ITEM(first, 3))
                                      : Py_BuildValue("NO", data, PyTuple_GET_ITEM(first, 1));
}

static PyObject *
receive_missing(struct hub *hub, const struct message_call *call, struct gathering *gathering)
{
    PyObject *piece = Py_NewRef(gathering->result);
    bool failed = gather(gathering, call, piece) < 0;
    while (!failed && piece != NULL && gathering->size < gathering->wanted && !is_the_last(call, piece)) {
        Py_SETREF(piece, call_for_missing(hub, call, gathering));
        failed = piece != NULL ? gather(gathering, call, piece) < 0 : !point_put_off(hub);
    }
    Py_XDECREF(piece);
    return failed ? NULL : gathered(gathering, call);
}

static PyObject *
peek_again(struct hub *hub, struct message_call *call, PyObject *result, Py_ssize_t wanted)
{
    const SocketObject *socket = (SocketObject *)call->self;
    int64_t deadline = 0, pause = 0;
    while (result != NULL && size_of(result) < wanted && !is_the_last(call, result) && !stream_has_ended(socket)) {
        Py_CLEAR(result);
        if (socket_wait_a_moment(hub, socket, &deadline, &pause) >= 0)
            result = call_patiently(hub, call);
    }
    return result;
}

PyObject *
receive_rest(struct hub *hub, struct message_call *call, PyObject *result)
{
    struct gathering gathering = {.wanted = -1, .result = result};
    if (call->is_held || call_hold(call) == 0)
        gathering.wanted = bytes_wanted(call);
    if (gathering.wanted < 0) {
        Py_DECREF(result);
        return NULL;
    }
    if (size_of(result) >= gathering.wanted || is_the_last(call, result))
        return result;
    if (call->flags & MSG_PEEK)
        return peek_again(hub, call, result, gathering.wanted);
    if (!fills_buffers(call) && (gathering.bytes = PyBytes_FromStringAndSize(NULL, gathering.wanted)) == NULL) {
        Py_DECREF(result);
        return NULL;
    }
    PyObject *whole = receive_missing(hub, call, &gathering);
    Py_XDECREF(gathering.bytes);
    Py_DECREF(result);
    return whole;
}
