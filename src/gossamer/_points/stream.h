/* The stream sockets of a server, by the object and without the methods: see stream.c. */
#ifndef GOSSAMER_STREAM_H
#define GOSSAMER_STREAM_H

#include <Python.h>

#include <sys/uio.h>

/* Whether the functions below can serve `socket`: a TCP or Unix stream with nothing on top of it. That it is not a
   TLS socket, which is one of these to the eye, the caller knows. */
int stream_is_plain(PyObject *socket);

/* The calling thread's buffer, which stream_receive() uses as well: nobody keeps anything in it across a wait.
   NULL with an exception set. */
char *stream_buffer(Py_ssize_t *size);

/* What has come, in the buffer: how many bytes, 0 at the end of the stream; waits for the first one, or answers
   STREAM_EMPTY if it may not. -1 with an exception set. The socket's own timeout is not asked. */
Py_ssize_t stream_receive(PyObject *socket, char **data, int may_wait);

/* Sends what goes at once, in one system call: how many bytes, 0 when none. -1 with OSError set. */
Py_ssize_t stream_send(PyObject *socket, const struct iovec *parts, int count);

/* Waits until it is worth another try. -1 with an exception set. */
int stream_wait_writable(PyObject *socket);

#endif
