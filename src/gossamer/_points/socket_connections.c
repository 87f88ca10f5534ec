/* _accept, connect and sendfile: the kernel knows no MSG_DONTWAIT for them, only O_NONBLOCK. And bind.

   - A listening socket gets O_NONBLOCK when a green thread first accepts on it, and keeps it: other hubs
     and processes may accept on the same file, and must not find it blocking again in mid-call. Its flags
     are looked at each time, since settimeout(None) takes O_NONBLOCK off.
   - connect() and sendfile() give a blocking descriptor O_NONBLOCK for the one system call. So does accept() on a
     socket with a timeout: it had the flag, but who has a duplicate of it may have taken that off.
   - Once under way, a connection is established or refused without us. That it is writable says so, and
     SO_ERROR says which. */
#include "file_identity.h"
#include "socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

/* Gives the descriptor O_NONBLOCK, and remembers that. Returns the flags it had; -1 with an exception set;
   `*changed`: it did not have it. */
static int
make_nonblocking(int descriptor, bool *changed)
{
    int flags = fcntl(descriptor, F_GETFL);
    *changed = flags >= 0 && !(flags & O_NONBLOCK);
    if (!*changed)
        return flags;
    if (lend(descriptor) < 0)
        return -1;
    return fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0 ? -1 : flags;
}

/* ---- accept ---- */

static PyObject *
accept_once(PyObject *self)
{
    const SocketObject *socket = (SocketObject *)self;
    int descriptor = socket->descriptor;
    bool changed, keeps = socket->timeout < 0;
    int flags = make_nonblocking(descriptor, &changed);
    if (flags < 0 && PyErr_Occurred())
        return NULL;
    PyObject *result = call_at_once(&socket_points[ACCEPT], self, NULL, 0, false);
    if (changed && !keeps && socket->descriptor == descriptor)
        fcntl(descriptor, F_SETFL, flags);
    return result;
}

/* The number that was accepted is new: whoever still waits for it waits for another file. */
static void
accepted(PyObject *result)
{
    if (PyTuple_Check(result) && PyTuple_GET_SIZE(result) == 2 && PyLong_Check(PyTuple_GET_ITEM(result, 0)))
        descriptor_changed((int)PyLong_AsLong(PyTuple_GET_ITEM(result, 0)), DESCRIPTOR_CLOSED);
}

static PyObject *
accept_patiently(struct hub *hub, PyObject *self)
{
    const SocketObject *socket = (SocketObject *)self;
    int64_t deadline = 0;
    if (socket_give_way(hub, socket, 0) < 0)
        return NULL;
    for (;;) {
        struct pollable *pollable = hub != NULL ? poller_find(&hub->poller, socket->descriptor) : NULL;
        if (pollable == NULL || !pollable_is_empty(pollable)) {
            PyObject *result = accept_once(self);
            if (result != NULL || pending_errno() != EAGAIN) {
                if (result != NULL)
                    accepted(result);
                socket_pass_on(hub, socket, READING);
                return result;
            }
            PyErr_Clear();
        }
        if (socket_wait(hub, socket, READING, &deadline) < 0)
            return NULL;
    }
}

PyObject *
socket_accept(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const struct point *point = &socket_points[ACCEPT];
    struct hub *hub = point_hub(point);
    const SocketObject *socket = (SocketObject *)self;
    if (hub != NULL && socket->timeout != 0)
        return accept_patiently(hub, self);
    PyObject *result = point_original_noargs(point, self);
    if (result != NULL || socket->timeout >= 0 || !is_lent(socket->descriptor) || pending_errno() != EAGAIN)
        return result;
    PyErr_Clear();
    return accept_patiently(NULL, self);
}

/* ---- connect ---- */

static PyObject *
connect_once(enum socket_point which, PyObject *self, PyObject *address, bool again)
{
    const SocketObject *socket = (SocketObject *)self;
    int descriptor = socket->descriptor;
    bool changed;
    int flags = make_nonblocking(descriptor, &changed);
    if (flags < 0 && PyErr_Occurred())
        return NULL;
    PyObject *result = call_at_once(&socket_points[which], self, &address, 1, again);
    if (changed && socket->descriptor == descriptor) {
        int error = errno;
        fcntl(descriptor, F_SETFL, flags);
        errno = error;
    }
    return result;
}

/* The number of an error that connect() and connect_ex() tell in their ways; 0: none that is a number. */
static int
told_errno(enum socket_point which, PyObject *result)
{
    if (result == NULL)
        return pending_errno();
    return which == CONNECT_EX ? (int)PyLong_AsLong(result) : 0;
}

static PyObject *
tell_errno(enum socket_point which, int error)
{
    if (which == CONNECT_EX)
        return PyLong_FromLong(error);
    return error != 0 ? os_error(error) : Py_NewRef(Py_None);
}

static PyObject *
tell_timeout(enum socket_point which)
{
    if (which == CONNECT_EX)
        return PyLong_FromLong(EWOULDBLOCK);
    PyErr_SetString(PyExc_TimeoutError, "timed out");
    return NULL;
}

static bool
is_decided(const SocketObject *socket)
{
    struct pollfd entry = {.fd = socket->descriptor, .events = POLLOUT};
    return poll(&entry, 1, 0) != 0;
}

/* What became of a connection. A blocking connect() leaves the socket ready for another one, after SO_ERROR
   only that next one would: it still has to take note of the first. So the kernel is asked by connect(),
   which then looks at no address. */
static int
connection_errno(const SocketObject *socket)
{
    if (socket->timeout < 0 && (socket->family == AF_INET || socket->family == AF_INET6)) {
        struct sockaddr_storage address = {.ss_family = (sa_family_t)socket->family};
        return connect(socket->descriptor, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    return error == EISCONN ? 0 : error;
}

/* Waits for a connection under way, and tells what became of it. */
static PyObject *
connection_wait(enum socket_point which, struct hub *hub, const SocketObject *socket)
{
    int64_t deadline = 0;
    while (!is_decided(socket)) {
        int outcome = socket_wait_until(hub, socket, WRITING, &deadline);
        if (outcome != UNPARKED)
            return outcome == TIMED_OUT ? tell_timeout(which) : NULL;
    }
    return tell_errno(which, connection_errno(socket));
}

/* Whether the attempt goes on by itself. A blocking connect() waits for an earlier attempt, too. */
static bool
is_under_way(const SocketObject *socket, int error)
{
    return error == EINPROGRESS || (error == EALREADY && socket->timeout < 0);
}

/* Whether a blocking connect() would wait for room in the backlog of a Unix listener. No descriptor tells
   when there is some. */
static bool
is_backlog_full(const SocketObject *socket, int error)
{
    return error == EAGAIN && socket->family == AF_UNIX && socket->timeout < 0;
}

static PyObject *
connect_patiently(enum socket_point which, struct hub *hub, PyObject *self, PyObject *address)
{
    const SocketObject *socket = (SocketObject *)self;
    if (hub == NULL || socket->timeout == 0)
        return point_original_o(&socket_points[which], self, address);
    int64_t deadline = 0, pause = 0;
    for (bool again = false;; again = true) {
        PyObject *result = connect_once(which, self, address, again);
        int error = told_errno(which, result);
        if (!is_under_way(socket, error) && !is_backlog_full(socket, error))
            return result;
        Py_XDECREF(result);
        PyErr_Clear();
        if (is_under_way(socket, error))
            return connection_wait(which, hub, socket);
        if (socket_wait_a_moment(hub, socket, &deadline, &pause) < 0)
            return NULL;
    }
}

/* Host names are looked up first: a green thread does not wait for that inside of connect(). */
static PyObject *
connect_to(enum socket_point which, PyObject *self, PyObject *address)
{
    struct hub *hub = point_hub(&socket_points[which]);
    PyObject *resolved = address_resolved(hub, (SocketObject *)self, address);
    PyObject *result = resolved != NULL ? connect_patiently(which, hub, self, resolved) : NULL;
    Py_XDECREF(resolved);
    return result;
}

PyObject *
socket_connect(PyObject *self, PyObject *address)
{
    return connect_to(CONNECT, self, address);
}

PyObject *
socket_connect_ex(PyObject *self, PyObject *address)
{
    return connect_to(CONNECT_EX, self, address);
}

PyObject *
socket_bind(PyObject *self, PyObject *address)
{
    const struct point *point = &socket_points[BIND];
    PyObject *resolved = address_resolved(point_hub(point), (SocketObject *)self, address);
    PyObject *result = resolved != NULL ? point_original_o(point, self, resolved) : NULL;
    Py_XDECREF(resolved);
    return result;
}

/* ---- sendfile ---- */

static bool
may_fill_up(int descriptor)
{
    struct stat status;
    return fstat(descriptor, &status) == 0 && (S_ISSOCK(status.st_mode) || S_ISFIFO(status.st_mode));
}

static PyObject *
sendfile_once(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names, int descriptor, int flags)
{
    if (lend(descriptor) < 0)
        return NULL;
    fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
    PyObject *result = point_original(&socket_points[SENDFILE], module, args, count, names);
    fcntl(descriptor, F_SETFL, flags);
    return result;
}

PyObject *
os_sendfile(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &socket_points[SENDFILE];
    struct hub *hub = point_hub(point);
    int descriptor = hub != NULL ? descriptor_from(args, count, names, 0, "out_fd") : -1;
    int flags = descriptor >= 0 && may_fill_up(descriptor) ? fcntl(descriptor, F_GETFL) : -1;
    if (flags < 0 || (flags & O_NONBLOCK))
        return point_original(point, module, args, count, names);
    int turn = hub_give_way_at_times(hub);
    if (turn != 0)                   /* it may be another file by now */
        return turn > 0 ? os_sendfile(module, args, count, names) : NULL;
    int source = descriptor_from(args, count, names, 1, "in_fd");
    struct file_identity files[] = {file_identity_of(descriptor), file_identity_of(source)};
    for (;;) {
        PyObject *result = sendfile_once(module, args, count, names, descriptor, flags);
        if (result != NULL || pending_errno() != EAGAIN)
            return result;
        PyErr_Clear();
        if (hub_wait_descriptor(hub, descriptor, WRITING, INT64_MAX) < 0
            || file_identity_check(descriptor, files[0]) < 0 || file_identity_check(source, files[1]) < 0)
            return NULL;
    }
}
