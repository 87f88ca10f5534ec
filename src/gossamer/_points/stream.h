/* The stream sockets of a server, by the object and without the methods: see stream.c.

   For the package's compiled modules, as _core/runtime/interface.h is: a table behind a capsule of its own. A module
   calls stream_import() once, when it is imported. */
#ifndef GOSSAMER_STREAM_H
#define GOSSAMER_STREAM_H

#include "../_core/runtime/interface.h"

#include <sys/uio.h>

#define STREAM_CAPSULE "gossamer._core._streams"

struct stream_interface {
    size_t size;

    /* Whether the functions below can serve `socket`: a TCP or Unix stream with nothing on top of it. That it is not a
       TLS socket, which is one of these to the eye, the caller knows. */
    int (*is_plain)(PyObject *socket);

    /* The calling thread's buffer, which receive() uses as well: nobody keeps anything in it across a wait.
       NULL with an exception set. */
    char *(*buffer)(Py_ssize_t *size);

    /* What has come, in the buffer: how many bytes, 0 at the end of the stream; waits for the first one, or answers
       STREAM_EMPTY if it may not. -1 with an exception set. The socket's own timeout is not asked. */
    Py_ssize_t (*receive)(PyObject *socket, char **data, int may_wait);

    /* Sends what goes at once, in one system call: how many bytes, 0 when none. -1 with OSError set. */
    Py_ssize_t (*send)(PyObject *socket, const struct iovec *parts, int count);

    /* Waits until it is worth another try. -1 with an exception set. */
    int (*wait_writable)(PyObject *socket);
};

#define STREAM_EMPTY (-2)

#ifndef GOSSAMER_INTERFACE_PROVIDER

static const struct stream_interface *streams;

/* Returns -1 with an exception set. */
static inline int
stream_import(void)
{
    streams = (const struct stream_interface *)interface_table("_streams", STREAM_CAPSULE, sizeof *streams);
    return streams != NULL ? 0 : -1;
}

static inline int
stream_is_plain(PyObject *socket)
{
    return streams->is_plain(socket);
}

static inline char *
stream_buffer(Py_ssize_t *size)
{
    return streams->buffer(size);
}

static inline Py_ssize_t
stream_receive(PyObject *socket, char **data, int may_wait)
{
    return streams->receive(socket, data, may_wait);
}

static inline Py_ssize_t
stream_send(PyObject *socket, const struct iovec *parts, int count)
{
    return streams->send(socket, parts, count);
}

static inline int
stream_wait_writable(PyObject *socket)
{
    return streams->wait_writable(socket);
}

#endif
#endif
