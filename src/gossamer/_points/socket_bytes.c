/* recv, recv_into, send, sendall: the hot ones, so they call the kernel themselves, without releasing the
   GIL and without waiting (MSG_DONTWAIT).

   - What cannot be parsed goes to the original, which raises for it. It cannot block: the arguments are
     taken apart by the same conversions here as there.
   - recv() reads into the poller's receive buffer and makes a bytes object of the right size of it. Nobody
     parks while something lies in there.
   - A send() that waits is interrupted after a part went: the part is what it returns, since its caller would have no
     way to know, and the interrupt comes at the next wait (point_put_off). So with MSG_WAITALL. sendall() raises: its
     documentation says that nobody knows then how much went.
   - A Unix stream ends a read where descriptors were passed along, although more may follow. recvmsg()
     tells so, by MSG_CTRUNC, so on these sockets it stands for recv(). */
#include "socket.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

/* ---- arguments ---- */

/* Like the format "n". */
static inline bool
size_from(PyObject *argument, Py_ssize_t *size)
{
    *size = likely(PyLong_CheckExact(argument)) ? PyLong_AsSsize_t(argument)
                                                : PyNumber_AsSsize_t(argument, PyExc_OverflowError);
    return likely(*size != -1) || PyErr_Occurred() == NULL;
}

/* Like the format "i"; 0 when there are not so many arguments. */
static inline bool
flags_from(PyObject *const *args, Py_ssize_t count, Py_ssize_t place, int *flags)
{
    *flags = 0;
    if (likely(count <= place))
        return true;
    Py_ssize_t value;
    if (!size_from(args[place], &value) || value < INT_MIN || value > INT_MAX)
        return false;
    *flags = (int)value;
    return true;
}

static inline bool
bytes_from(PyObject *argument, Py_buffer *view)
{
    if (likely(PyBytes_CheckExact(argument))) {
        view->obj = NULL;            /* the caller's reference is good enough */
        view->buf = PyBytes_AS_STRING(argument);
        view->len = PyBytes_GET_SIZE(argument);
        return true;
    }
    return !PyUnicode_Check(argument) && PyObject_GetBuffer(argument, view, PyBUF_SIMPLE) == 0;
}

static PyObject *
judged_by_original(enum socket_point which, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyErr_Clear();
    return point_original(&socket_points[which], self, args, count, names);
}

/* ---- receiving ---- */

/* One recv(). `*cut`: the end of what was read is not the end of what is there. */
static inline Py_ssize_t
receive_now(const SocketObject *socket, char *buffer, size_t size, int flags, bool *cut)
{
    *cut = flags != 0;
    if (socket->family != AF_UNIX)
        return recv(socket->descriptor, buffer, size, flags | MSG_DONTWAIT);
    struct iovec part = {buffer, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    Py_ssize_t got = recvmsg(socket->descriptor, &message, flags | MSG_DONTWAIT);
    *cut |= (message.msg_flags & MSG_CTRUNC) != 0;
    return got;
}

Py_ssize_t
receive(struct hub *hub, const SocketObject *socket, char *buffer, Py_ssize_t size, int flags, int64_t *deadline)
{
    if (unlikely(socket_give_way(hub, socket, flags) < 0))
        return -1;
    for (;;) {
        struct pollable *pollable = hub != NULL ? poller_find(&hub->poller, socket->descriptor) : NULL;
        bool empty = pollable != NULL && pollable_is_empty(pollable) && flags == 0 && socket->timeout != 0;
        if (!empty) {
            bool cut;
            Py_ssize_t got = receive_now(socket, buffer, (size_t)size, flags, &cut);
            bool again = got < 0 && errno == EAGAIN && may_wait(socket, flags);
            if (likely(!again) && (got >= 0 || errno != EINTR)) {
                if (got < 0)
                    os_error(errno);
                if (pollable == NULL)
                    return got;
                if (got > 0 && got < size && !cut && pollable->short_means_empty)
                    pollable->ready[READING] = false;
                hub_pass_on(pollable, READING);
                return got;
            }
            if (!again)
                continue;
        }
        if (socket_wait(hub, socket, READING, deadline) < 0)
            return -1;
    }
}

/* With MSG_WAITALL, what a blocking stream does: go on until `size` bytes are there, or the end. */
static Py_ssize_t
receive_all(struct hub *hub, const SocketObject *socket, char *buffer, Py_ssize_t size, int flags)
{
    int64_t deadline = 0;
    Py_ssize_t total = 0;
    while (total < size) {
        Py_ssize_t got = receive(hub, socket, buffer + total, size - total, flags, &deadline);
        if (got < 0 && (total == 0 || !point_put_off(hub)))
            return -1;
        if (got <= 0)
            break;
        total += got;
    }
    return total;
}

bool
stream_has_ended(const SocketObject *socket)
{
    struct pollfd entry = {.fd = socket->descriptor, .events = POLLRDHUP};
    return poll(&entry, 1, 0) > 0;
}

/* The same with MSG_PEEK: what is there stays there, so that no descriptor tells when there is more. */
static Py_ssize_t
peek_all(struct hub *hub, const SocketObject *socket, char *buffer, Py_ssize_t size, int flags)
{
    int64_t deadline = 0, pause = 0;
    for (;;) {
        Py_ssize_t got = receive(hub, socket, buffer, size, flags, &deadline);
        if (got <= 0 || got == size || stream_has_ended(socket))
            return got;
        if (socket_wait_a_moment(hub, socket, &deadline, &pause) < 0)
            return -1;
    }
}

static Py_ssize_t
receive_into(struct hub *hub, const SocketObject *socket, char *buffer, Py_ssize_t size, int flags)
{
    if (size == 0)
        return 0;                    /* the original makes no system call for nothing either */
    if (unlikely(receives_all(socket, flags)))
        return (flags & MSG_PEEK ? peek_all : receive_all)(hub, socket, buffer, size, flags);
    int64_t deadline = 0;
    return receive(hub, socket, buffer, size, flags, &deadline);
}

/* Into a bytes object made beforehand: for what the receive buffer is too small for, or parks half full.
   With MSG_TRUNC the kernel tells the whole length of a datagram, and the result is as long. */
static PyObject *
receive_directly(struct hub *hub, const SocketObject *socket, Py_ssize_t size, int flags)
{
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (result == NULL)
        return NULL;
    Py_ssize_t got = receive_into(hub, socket, PyBytes_AS_STRING(result), size, flags);
    if (got < 0)
        Py_CLEAR(result);
    else if (got != size && _PyBytes_Resize(&result, got) == 0 && got > size)
        memset(PyBytes_AS_STRING(result) + size, 0, (size_t)(got - size));
    return result;
}

static PyObject *
receive_bytes(struct hub *hub, const SocketObject *socket, Py_ssize_t size, int flags)
{
    if (unlikely(hub == NULL || size > RECEIVE_BUFFER_SIZE || (flags & (MSG_WAITALL | MSG_TRUNC))))
        return receive_directly(hub, socket, size, flags);
    char *buffer = poller_receive_buffer(&hub->poller);
    if (buffer == NULL)
        return NULL;
    Py_ssize_t got = receive_into(hub, socket, buffer, size, flags);
    return got < 0 ? NULL : PyBytes_FromStringAndSize(buffer, got);
}

PyObject *
socket_recv(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct hub *hub = point_hub(&socket_points[RECV]);
    const SocketObject *socket = (SocketObject *)self;
    Py_ssize_t size;
    int flags;
    if (unlikely(runs_original(hub, socket)))
        return point_original(&socket_points[RECV], self, args, count, NULL);
    if (unlikely(count < 1 || count > 2 || !size_from(args[0], &size) || size < 0
                 || !flags_from(args, count, 1, &flags)))
        return judged_by_original(RECV, self, args, count, NULL);
    return receive_bytes(hub, socket, size, flags);
}

PyObject *
socket_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct hub *hub = point_hub(&socket_points[RECV_INTO]);
    const SocketObject *socket = (SocketObject *)self;
    if (unlikely(runs_original(hub, socket)))
        return point_original(&socket_points[RECV_INTO], self, args, count, names);
    PyObject *row[3];
    Py_ssize_t given = positional_from(args, count, names, row), size = 0;
    int flags;
    Py_buffer view;
    if (unlikely(given < 1 || (given > 1 && !size_from(row[1], &size)) || size < 0
                 || !flags_from(row, given, 2, &flags) || PyObject_GetBuffer(row[0], &view, PyBUF_WRITABLE) < 0))
        return judged_by_original(RECV_INTO, self, args, count, names);
    if (unlikely(size > view.len)) {
        PyBuffer_Release(&view);
        return judged_by_original(RECV_INTO, self, args, count, names);
    }
    Py_ssize_t got = receive_into(hub, socket, view.buf, size > 0 ? size : view.len, flags);
    PyBuffer_Release(&view);
    return got < 0 ? NULL : PyLong_FromSsize_t(got);
}

/* ---- sending ---- */

Py_ssize_t
transmit(struct hub *hub, const SocketObject *socket, struct sending sending)
{
    Py_ssize_t total = 0;
    int64_t deadline = 0;
    if (unlikely(socket_give_way(hub, socket, sending.flags & MSG_DONTWAIT) < 0))
        return -1;
    for (;;) {
        Py_ssize_t sent = send(socket->descriptor, sending.data + total, (size_t)(sending.size - total),
                               sending.flags | MSG_DONTWAIT);
        if (likely(sent >= 0)) {
            total += sent;
            if (likely(total == sending.size) || !sending.all)
                break;
        }
        else if (errno == EAGAIN && may_wait(socket, sending.flags & MSG_DONTWAIT)) {
            if (socket_wait(hub, socket, WRITING, &deadline) < 0)
                return total > 0 && !sending.strict && point_put_off(hub) ? total : -1;
        }
        else if (errno != EINTR) {
            if (total > 0 && !sending.strict)
                break;
            os_error(errno);
            total = -1;
            break;
        }
    }
    socket_pass_on(hub, socket, WRITING);
    return total;
}

PyObject *
socket_send(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct hub *hub = point_hub(&socket_points[SEND]);
    const SocketObject *socket = (SocketObject *)self;
    int flags;
    Py_buffer view;
    if (unlikely(runs_original(hub, socket)))
        return point_original(&socket_points[SEND], self, args, count, NULL);
    if (unlikely(count < 1 || count > 2 || !flags_from(args, count, 1, &flags) || !bytes_from(args[0], &view)))
        return judged_by_original(SEND, self, args, count, NULL);
    Py_ssize_t sent = transmit(hub, socket, (struct sending){.data = view.buf, .size = view.len, .flags = flags,
                                                             .all = sends_all(socket, flags)});
    if (unlikely(view.obj != NULL))
        PyBuffer_Release(&view);
    return sent < 0 ? NULL : PyLong_FromSsize_t(sent);
}

PyObject *
socket_sendall(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct hub *hub = point_hub(&socket_points[SENDALL]);
    const SocketObject *socket = (SocketObject *)self;
    int flags;
    Py_buffer view;
    if (unlikely(runs_original(hub, socket)))
        return point_original(&socket_points[SENDALL], self, args, count, NULL);
    if (unlikely(count < 1 || count > 2 || !flags_from(args, count, 1, &flags) || !bytes_from(args[0], &view)))
        return judged_by_original(SENDALL, self, args, count, NULL);
    Py_ssize_t sent = transmit(hub, socket, (struct sending){.data = view.buf, .size = view.len, .flags = flags,
                                                             .all = true, .strict = true});
    if (unlikely(view.obj != NULL))
        PyBuffer_Release(&view);
    return sent < 0 ? NULL : Py_NewRef(Py_None);
}
