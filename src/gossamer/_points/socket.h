/* What the files of the socket points share.

   - socket.c: the table, the check of the object's layout, waiting.
   - socket_bytes.c: recv, recv_into, send, sendall, which call the kernel themselves.
   - socket_messages.c: addresses and ancillary data; there the original makes the system call. socket_waitall.c:
     the same with MSG_WAITALL.
   - socket_connections.c: _accept, connect, connect_ex, sendfile, which know no MSG_DONTWAIT; bind.
   - socket_life.c: where descriptors are born and die.

   What decides whether a call may wait is the object's timeout, as the documentation of the module socket
   has it: None for ever, 0 not at all. Whether the descriptor itself has O_NONBLOCK is not asked.

   A few calls need O_NONBLOCK on a descriptor that Python takes to be blocking. Such a descriptor is
   *lent*, and that is remembered until it is closed: threads without a hub must not be told EAGAIN on it,
   so they poll. In all the points, `hub` NULL means such a thread: what would park polls without the GIL. */
#ifndef GOSSAMER_SOCKET_H
#define GOSSAMER_SOCKET_H

#include "points.h"

#include <sys/socket.h>

enum socket_point {
    RECV, RECV_INTO, SEND, SENDALL, RECVFROM, RECVFROM_INTO, RECVMSG, RECVMSG_INTO, SENDTO, SENDMSG,
    ACCEPT, CONNECT, CONNECT_EX, BIND, CLOSE, DETACH, SOCKETPAIR, SENDFILE, OS_CLOSE, OS_CLOSERANGE, OS_DUP2,
};

/* Flags with which the kernel never waits, though the socket may. */
#define NEVER_WAITS (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)

/* Whether MSG_WAITALL means anything to this call: a blocking stream goes on until all is there. */
static inline bool
receives_all(const SocketObject *socket, int flags)
{
    return (flags & MSG_WAITALL) && socket->timeout < 0 && socket->type == SOCK_STREAM && !(flags & NEVER_WAITS);
}

/* ---- socket.c ---- */

/* Whether `object` is one of _socket.socket, and laid out as we take it to be. */
bool is_stock_socket(PyObject *object);

/* Whether the calling thread runs the original: it has no hub, and nobody lent the descriptor. */
bool runs_original(const struct hub *hub, const SocketObject *socket);

/* Whether an operation that got EAGAIN is to wait. */
static inline bool
may_wait(const SocketObject *socket, int flags)
{
    return socket->timeout > 0 || (socket->timeout < 0 && !(flags & NEVER_WAITS));
}

/* After EAGAIN, waits until it is worth another try. `*deadline` starts as 0: the first call sets it from
   the socket's timeout. Returns 0, or -1 with an exception set: TimeoutError, OSError EBADF, whatever
   somebody interrupted the wait with. Afterwards the object may have another descriptor, or none. */
int socket_wait(struct hub *hub, const SocketObject *socket, enum direction direction, int64_t *deadline);

/* The same, but tells a timeout by TIMED_OUT, without an exception; UNPARKED is 0. */
int socket_wait_until(struct hub *hub, const SocketObject *socket, enum direction direction, int64_t *deadline);

/* Waits a moment for what no descriptor tells the end of; `*pause` starts as 0 and grows. */
int socket_wait_a_moment(struct hub *hub, const SocketObject *socket, int64_t *deadline, int64_t *pause);

/* The same without a socket: until the descriptor is ready. */
int wait_natively(int descriptor, enum direction direction, int64_t deadline);

/* Now and then, before a call that may wait, lets the others have a turn. 1 when they may have run, else 0; -1 with an
   exception set. */
static inline int
socket_give_way(struct hub *hub, const SocketObject *socket, int flags)
{
    return hub != NULL && likely(may_wait(socket, flags)) ? hub_give_way_at_times(hub) : 0;
}

/* The next waiter may go on, if there is one and something to go on with. */
static inline void
socket_pass_on(struct hub *hub, const SocketObject *socket, enum direction direction)
{
    struct pollable *pollable = hub != NULL ? poller_find(&hub->poller, socket->descriptor) : NULL;
    if (pollable != NULL)
        hub_pass_on(pollable, direction);
}

/* The errno of the pending exception if it is an OSError, else 0. Those of getaddrinfo() are negative. */
int pending_errno(void);

/* OSError for errno. Always NULL. */
PyObject *os_error(int error);

/* Calls the original of a method where it cannot wait for the descriptor, which is non-blocking or is
   used with MSG_DONTWAIT. `again`: not for the first time. */
PyObject *call_at_once(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count, bool again);

/* An object of `type` (_socket.socket or heir) like `socket` in everything but its timeout, which is 0. NULL with an
   exception set. */
SocketObject *stand_in_new(PyTypeObject *type, const SocketObject *socket);
void stand_in_free(SocketObject *stand_in);

/* Remembers, forgets and tells which descriptors are lent. */
int lend(int descriptor);
void lend_no_more(int descriptor);
bool is_lent(int descriptor);
int lent_last(void);                     /* none beyond this is */

/* ---- socket_bytes.c ---- */
PyObject *socket_recv(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *socket_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *socket_send(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *socket_sendall(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* Sends `size` bytes: all of them if `all`, else what goes at once. Returns how many went, also when an
   error follows unless `strict`; -1 with an exception set. */
struct sending {
    const char *data;
    Py_ssize_t size;
    int flags;
    bool all, strict;
};
Py_ssize_t transmit(struct hub *hub, const SocketObject *socket, struct sending sending);

/* Whether a plain send() goes on until all is gone, as the kernel's does on a blocking stream. */
static inline bool
sends_all(const SocketObject *socket, int flags)
{
    return socket->timeout < 0 && socket->type == SOCK_STREAM && !(flags & MSG_DONTWAIT);
}

/* Receives at least one byte, or finds the end. `*deadline` as for socket_wait(). -1 with an exception set. */
Py_ssize_t receive(struct hub *hub, const SocketObject *socket, char *buffer, Py_ssize_t size, int flags,
                   int64_t *deadline);

/* Whether the other end will send no more. */
bool stream_has_ended(const SocketObject *socket);

/* ---- socket_messages.c ---- */
PyObject *socket_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *socket_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *socket_recvmsg(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *socket_recvmsg_into(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *socket_sendto(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *socket_sendmsg(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* Puts the arguments buffer, nbytes and flags in a row, wherever they were named. Returns how many there
   are, or -1, without an exception, when the original has to judge. */
Py_ssize_t positional_from(PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject *row[3]);

/* ---- socket_connections.c ---- */
PyObject *socket_accept(PyObject *self, PyObject *ignored);
PyObject *socket_connect(PyObject *self, PyObject *address);
PyObject *socket_connect_ex(PyObject *self, PyObject *address);
PyObject *socket_bind(PyObject *self, PyObject *address);
PyObject *os_sendfile(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);

/* ---- resolve.c ---- */

/* The address for a call by a green thread: an Internet host is given as a number, after its name, if it is one, was
   looked up. New reference, or NULL with an exception set. With no hub, the address as it is. */
PyObject *address_resolved(struct hub *hub, const SocketObject *socket, PyObject *address);

/* ---- socket_life.c ---- */
PyObject *socket_close(PyObject *self, PyObject *ignored);
PyObject *socket_detach(PyObject *self, PyObject *ignored);
PyObject *socket_socketpair(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *os_close(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *os_closerange(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *os_dup2(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);

/* The argument at `place`, or called `name`, as a descriptor; -1 for what the original has to judge. */
int descriptor_from(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t place, const char *name);

/* Has the birth of sockets noticed: their __init__, and that of the types made from _socket.socket. */
int births_watch(PyTypeObject *type);

#endif
