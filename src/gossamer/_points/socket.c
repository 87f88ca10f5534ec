/* The points of _socket.socket: their table, and how they wait. See socket.h for the rules.

   The object's descriptor and timeout are read from its C struct: asking for them by name would cost more
   than the system call. A socket made for the purpose shows whether the struct is what we take it to be. */
#include "audit.h"
#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static PyTypeObject *socket_type;        /* _socket.socket; NULL until found to be as expected */

/* ---- the layout of the object ---- */

static bool
shows(PyObject *probe, const char *name, const char *argument, int64_t timeout)
{
    PyObject *result = PyObject_CallMethod(probe, name, argument, 1.25);
    Py_XDECREF(result);
    return result != NULL && ((SocketObject *)probe)->timeout == timeout;
}

static bool
is_as_expected(PyTypeObject *type)
{
    if (type->tp_basicsize < (Py_ssize_t)sizeof(SocketObject))
        return false;
    PyObject *probe = PyObject_CallFunction((PyObject *)type, "ii", AF_UNIX, SOCK_DGRAM);
    if (probe == NULL)
        return false;
    const SocketObject *socket = (SocketObject *)probe;
    PyObject *number = PyObject_CallMethod(probe, "fileno", NULL);
    bool expected = number != NULL && PyLong_AsLong(number) == socket->descriptor && socket->family == AF_UNIX
                    && socket->type == SOCK_DGRAM && socket->protocol == 0 && socket->timeout < 0
                    && shows(probe, "settimeout", "(d)", 1250000000);
    PyObject *closed = PyObject_CallMethod(probe, "close", NULL);
    expected = expected && closed != NULL && socket->descriptor == -1;
    Py_XDECREF(closed);
    Py_XDECREF(number);
    Py_DECREF(probe);
    return expected;
}

/* Asked before each point of the table is installed; looks only once. */
static bool
sockets_are_as_expected(void)
{
    static bool asked;
    if (asked)
        return socket_type != NULL;
    PyObject *module = PyImport_ImportModule("_socket");
    if (asked) {                     /* by its points, which loading it has installed */
        Py_XDECREF(module);
        return socket_type != NULL;
    }
    asked = true;
    PyObject *type = module != NULL ? PyObject_GetAttrString(module, "socket") : NULL;
    Py_XDECREF(module);
    if (type != NULL && PyType_Check(type) && is_as_expected((PyTypeObject *)type)
        && births_watch((PyTypeObject *)type) == 0)
        socket_type = (PyTypeObject *)Py_NewRef(type);
    Py_XDECREF(type);
    PyErr_Clear();
    return socket_type != NULL;
}

bool
is_stock_socket(PyObject *object)
{
    return sockets_are_as_expected() && PyObject_TypeCheck(object, socket_type);
}

/* ---- lent descriptors ---- */

static struct {
    unsigned char *bits;
    int count;                       /* descriptors that there are bits for; a multiple of 8 */
} lent;

int
lend(int descriptor)
{
    if (descriptor >= lent.count) {
        int count = (descriptor / 1024 + 1) * 1024;
        unsigned char *bits = realloc(lent.bits, (size_t)count / 8);
        if (bits == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memset(bits + lent.count / 8, 0, (size_t)(count - lent.count) / 8);
        lent.bits = bits;
        lent.count = count;
    }
    lent.bits[descriptor / 8] |= (unsigned char)(1 << descriptor % 8);
    return 0;
}

bool
is_lent(int descriptor)
{
    return descriptor >= 0 && descriptor < lent.count && (lent.bits[descriptor / 8] >> descriptor % 8 & 1);
}

void
lend_no_more(int descriptor)
{
    if (is_lent(descriptor))
        lent.bits[descriptor / 8] &= (unsigned char)~(1 << descriptor % 8);
}

int
lent_last(void)
{
    return lent.count - 1;
}

bool
runs_original(const struct hub *hub, const SocketObject *socket)
{
    return hub == NULL && !is_lent(socket->descriptor);
}

/* ---- waiting ---- */

int
wait_natively(int descriptor, enum direction direction, int64_t deadline)
{
    struct pollfd entry = {.fd = descriptor, .events = direction == READING ? POLLIN : POLLOUT};
    for (;;) {
        struct timespec left = {0};
        if (deadline != INT64_MAX) {
            int64_t nanoseconds = deadline - clock_now();
            nanoseconds = nanoseconds > 0 ? nanoseconds : 0;
            left = (struct timespec){nanoseconds / 1000000000, nanoseconds % 1000000000};
        }
        PyThreadState *tstate = PyEval_SaveThread();
        int count = ppoll(&entry, 1, deadline != INT64_MAX ? &left : NULL, NULL);
        int error = errno;
        PyEval_RestoreThread(tstate);
        if (count >= 0)
            return count > 0 ? UNPARKED : TIMED_OUT;
        if (error != EINTR) {
            os_error(error);
            return -1;
        }
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
}

static void
deadline_set(int64_t *deadline, int64_t timeout)
{
    if (*deadline == 0 && (timeout < 0 || __builtin_add_overflow(clock_now(), timeout, deadline)))
        *deadline = INT64_MAX;
}

/* Sockets of these families report each change to an edge-triggered epoll. */
static enum socket_kind
kind_of(const SocketObject *socket)
{
    if (socket->family != AF_INET && socket->family != AF_INET6 && socket->family != AF_UNIX)
        return EXOTIC;
    bool plain = socket->protocol == 0 || (socket->protocol == IPPROTO_TCP && socket->family != AF_UNIX);
    return plain && socket->type == SOCK_STREAM ? STREAM : MESSAGES;
}

int
socket_wait_until(struct hub *hub, const SocketObject *socket, enum direction direction, int64_t *deadline)
{
    deadline_set(deadline, socket->timeout);
    return hub != NULL ? hub_wait_socket(hub, socket->descriptor, kind_of(socket), direction, *deadline)
                       : wait_natively(socket->descriptor, direction, *deadline);
}

static int
timed_out(void)
{
    PyErr_SetString(PyExc_TimeoutError, "timed out");
    return -1;
}

int
socket_wait(struct hub *hub, const SocketObject *socket, enum direction direction, int64_t *deadline)
{
    int outcome = socket_wait_until(hub, socket, direction, deadline);
    return outcome == TIMED_OUT ? timed_out() : outcome;
}

int
socket_wait_a_moment(struct hub *hub, const SocketObject *socket, int64_t *deadline, int64_t *pause)
{
    deadline_set(deadline, socket->timeout);
    int64_t now = clock_now();
    if (now >= *deadline)
        return timed_out();
    *pause = *pause == 0 ? 500000 : *pause < 16000000 ? *pause * 2 : *pause;
    int64_t until = *deadline - now < *pause ? *deadline : now + *pause;
    if (hub != NULL)
        return hub_pause(hub, (double)(until - now) / 1e9);
    return wait_natively(-1, READING, until) < 0 ? -1 : 0;
}

/* ---- calling originals ---- */

PyObject *
os_error(int error)
{
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

int
pending_errno(void)
{
    if (!PyErr_ExceptionMatches(PyExc_OSError))
        return 0;
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *number = ((PyOSErrorObject *)exception)->myerrno;
    long error = number != NULL && PyLong_Check(number) ? PyLong_AsLong(number) : 0;
    PyErr_SetRaisedException(exception);
    return (int)error;
}

SocketObject *
stand_in_new(PyTypeObject *type, const SocketObject *socket)
{
    PyObject *object = type->tp_new(type, core.empty_tuple, NULL);
    if (object == NULL)
        return NULL;
    SocketObject *stand_in = (SocketObject *)object;
    memcpy(&stand_in->descriptor, &socket->descriptor,
           (size_t)socket_type->tp_basicsize - offsetof(SocketObject, descriptor));
    stand_in->timeout = 0;
    return stand_in;
}

void
stand_in_free(SocketObject *stand_in)
{
    stand_in->descriptor = -1;       /* it is the real one's to close */
    Py_DECREF(stand_in);
}

/* With a timeout, the original polls first, for all of that time. So it is given a stand-in. The object
   itself is not touched: another thread may be using it. */
PyObject *
call_at_once(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count, bool again)
{
    if (((SocketObject *)self)->timeout <= 0)
        return point_original_audited(point, self, args, count, again);
    SocketObject *stand_in = stand_in_new(socket_type, (SocketObject *)self);
    if (stand_in == NULL)
        return NULL;
    PyObject *result = point_original_audited(point, (PyObject *)stand_in, args, count, again);
    stand_in_free(stand_in);
    return result;
}

/* ---- the table ---- */

#define ENTRY(which, module_, type_, name_, function_, flags_, kind_)                                          \
    [which] = {.module = module_, .type = type_, .name = name_, .flags = flags_, .kind = kind_,                \
               .function = (PyCFunction)(void (*)(void))function_, .group = "socket",                          \
               .probe = sockets_are_as_expected}
#define METHOD(which, name, function, flags, kind) ENTRY(which, "_socket", "socket", name, function, flags, kind)
#define FUNCTION(which, module, name, function, flags, kind) ENTRY(which, module, NULL, name, function, flags, kind)

struct point socket_points[] = {
    METHOD(RECV, "recv", socket_recv, METH_FASTCALL, WAITER),
    METHOD(RECV_INTO, "recv_into", socket_recv_into, METH_FASTCALL | METH_KEYWORDS, WAITER),
    METHOD(SEND, "send", socket_send, METH_FASTCALL, WAITER),
    METHOD(SENDALL, "sendall", socket_sendall, METH_FASTCALL, WAITER),
    METHOD(RECVFROM, "recvfrom", socket_recvfrom, METH_FASTCALL, WAITER),
    METHOD(RECVFROM_INTO, "recvfrom_into", socket_recvfrom_into, METH_FASTCALL | METH_KEYWORDS, WAITER),
    METHOD(RECVMSG, "recvmsg", socket_recvmsg, METH_FASTCALL, WAITER),
    METHOD(RECVMSG_INTO, "recvmsg_into", socket_recvmsg_into, METH_FASTCALL, WAITER),
    METHOD(SENDTO, "sendto", socket_sendto, METH_FASTCALL, WAITER),
    METHOD(SENDMSG, "sendmsg", socket_sendmsg, METH_FASTCALL, WAITER),
    METHOD(ACCEPT, "_accept", socket_accept, METH_NOARGS, WAITER),
    METHOD(CONNECT, "connect", socket_connect, METH_O, WAITER),
    METHOD(CONNECT_EX, "connect_ex", socket_connect_ex, METH_O, WAITER),
    METHOD(BIND, "bind", socket_bind, METH_O, WAITER),
    METHOD(CLOSE, "close", socket_close, METH_NOARGS, WAKER),
    METHOD(DETACH, "detach", socket_detach, METH_NOARGS, WAKER),
    FUNCTION(SOCKETPAIR, "_socket", "socketpair", socket_socketpair, METH_FASTCALL | METH_KEYWORDS, WAKER),
    FUNCTION(SENDFILE, "posix", "sendfile", os_sendfile, METH_FASTCALL | METH_KEYWORDS, WAITER),
    FUNCTION(OS_CLOSE, "posix", "close", os_close, METH_FASTCALL | METH_KEYWORDS, WAKER),
    FUNCTION(OS_CLOSERANGE, "posix", "closerange", os_closerange, METH_FASTCALL, WAKER),
    FUNCTION(OS_DUP2, "posix", "dup2", os_dup2, METH_FASTCALL | METH_KEYWORDS, WAKER),
    {.module = NULL},
};
