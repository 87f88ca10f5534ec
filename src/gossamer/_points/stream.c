/* Receiving and sending for the servers' compiled code (http/): what recv() and sendmsg() do, without Python objects.

   - A request is read where the kernel put it, in the hub's receive buffer, and a response is put together there:
     nothing is allocated for either. So the buffer is the caller's until it waits, calls Python code, or receives.
   - Deadlines are not set here: a timer for each wait costs more than a sweep over all connections now and then.
   - The rules of edges and of short reads are those of the points (poller.h), since both use the same sockets. */
#define GOSSAMER_INTERFACE_PROVIDER
#include "stream.h"
#include "socket.h"

#include <errno.h>

static int
stream_is_plain(PyObject *object)
{
    if (!is_stock_socket(object))
        return 0;
    const SocketObject *socket = (SocketObject *)object;
    return socket->type == SOCK_STREAM
           && (socket->family == AF_INET || socket->family == AF_INET6 || socket->family == AF_UNIX);
}

static char *
stream_buffer(Py_ssize_t *size)
{
    struct hub *hub = hub_get();
    *size = RECEIVE_BUFFER_SIZE;
    return hub != NULL ? poller_receive_buffer(&hub->poller) : NULL;
}

static Py_ssize_t
receive_at_once(const SocketObject *socket, char *buffer)
{
    Py_ssize_t got;
    do
        got = recv(socket->descriptor, buffer, RECEIVE_BUFFER_SIZE, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return STREAM_EMPTY;
    if (got < 0)
        os_error(errno);
    return got;
}

static Py_ssize_t
stream_receive(PyObject *object, char **data, int may_wait)
{
    struct hub *hub = hub_get();
    char *buffer = hub != NULL ? poller_receive_buffer(&hub->poller) : NULL;
    if (unlikely(buffer == NULL))
        return -1;
    *data = buffer;
    if (unlikely(!may_wait))
        return receive_at_once((SocketObject *)object, buffer);
    int64_t deadline = INT64_MAX;
    return receive(hub, (SocketObject *)object, buffer, RECEIVE_BUFFER_SIZE, 0, &deadline);
}

static Py_ssize_t
stream_send(PyObject *object, const struct iovec *parts, int count)
{
    const SocketObject *socket = (SocketObject *)object;
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    for (;;) {
        Py_ssize_t sent = count == 1 ? send(socket->descriptor, parts->iov_base, parts->iov_len,
                                            MSG_DONTWAIT | MSG_NOSIGNAL)
                                     : sendmsg(socket->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (likely(sent >= 0)) {
            socket_pass_on(current_thread != NULL ? current_thread->hub : NULL, socket, WRITING);
            return sent;
        }
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR) {
            os_error(errno);
            return -1;
        }
    }
}

static int
stream_wait_writable(PyObject *object)
{
    struct hub *hub = hub_get();
    int64_t deadline = INT64_MAX;
    return hub != NULL ? socket_wait(hub, (SocketObject *)object, WRITING, &deadline) : -1;
}

static const struct stream_interface table = {
    .size = sizeof table,
    .is_plain = stream_is_plain,
    .buffer = stream_buffer,
    .receive = stream_receive,
    .send = stream_send,
    .wait_writable = stream_wait_writable,
};

int
streams_add(PyObject *module)
{
    PyObject *capsule = PyCapsule_New((void *)&table, STREAM_CAPSULE, NULL);
    int status = capsule != NULL ? PyModule_AddObjectRef(module, "_streams", capsule) : -1;
    Py_XDECREF(capsule);
    return status;
}
