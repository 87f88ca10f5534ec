/* The calls under way on a TLS object, and the stand-in for its socket: see ssl.c for why there is one.

   - A TLS object finds its socket by a weak reference, looks at it once, at the beginning of a call, and holds
     it until the end. So each call puts a reference to a stand-in of its own there right before, and whoever
     leaves puts the real one back. Nobody else looks, but a callback of the private _msg_callback whose TLS
     object has no owner: those of the module ssl have one.
   - _socket.socket has no room for weak references. The stand-ins are of a type made from it that has.
   - O_NONBLOCK belongs to the open file. The first call of several gives it, and the last takes it away: only
     of a descriptor whose socket, too, is still meant to block. */
#include "ssl.h"

#include <stdlib.h>
#include <sys/ioctl.h>

enum { FIRST_BUCKETS = 64 };

/* All calls under way, by the address of their TLS object. Guarded by the GIL. */
static struct {
    struct ssl_calls **buckets;
    size_t mask, count;
} table;

static PyTypeObject *stand_in_type;      /* NULL until found to be as expected */

/* ---- the layout of the object ---- */

static PyTypeObject *
stand_in_type_new(void)
{
    PyObject *module = PyImport_ImportModule("_socket");
    PyObject *base = module != NULL ? PyObject_GetAttrString(module, "socket") : NULL;
    PyObject *type = base != NULL ? PyObject_CallFunction((PyObject *)&PyType_Type, "s(O){s(s)ss}", "socket", base,
                                                          "__slots__", "__weakref__", "__module__", "_socket")
                                  : NULL;
    Py_XDECREF(base);
    Py_XDECREF(module);
    return (PyTypeObject *)type;
}

/* A TLS object for `socket`, as SSLContext.wrap_socket() makes it. */
static PyObject *
tls_object_new(PyObject *socket)
{
    PyObject *module = PyImport_ImportModule("_ssl");
    PyObject *protocol = module != NULL ? PyObject_GetAttrString(module, "PROTOCOL_TLS_CLIENT") : NULL;
    PyObject *context = protocol != NULL ? PyObject_CallMethod(module, "_SSLContext", "O", protocol) : NULL;
    PyObject *object = context != NULL ? PyObject_CallMethod(context, "_wrap_socket", "OO", socket, Py_False) : NULL;
    Py_XDECREF(context);
    Py_XDECREF(protocol);
    Py_XDECREF(module);
    return object;
}

static bool
refers_to(PyObject *object, PyObject *socket)
{
    if (Py_TYPE(object)->tp_basicsize < (Py_ssize_t)sizeof(TlsObject))
        return false;
    PyObject *reference = ((TlsObject *)object)->socket;
    if (reference == NULL || !PyWeakref_Check(reference))
        return false;
    PyObject *target = weak_target(reference);
    Py_XDECREF(target);
    return target == socket;
}

bool
ssl_calls_probe(void)
{
    static bool asked;
    if (asked)
        return stand_in_type != NULL;
    asked = true;
    if (socket_points[RECV].original == NULL)
        return false;                /* sockets do not look as we expect */
    PyTypeObject *type = stand_in_type_new();
    PyObject *socket = type != NULL ? PyObject_CallFunction((PyObject *)type, "ii", AF_UNIX, SOCK_STREAM) : NULL;
    PyObject *object = socket != NULL ? tls_object_new(socket) : NULL;
    if (object != NULL && refers_to(object, socket))
        stand_in_type = (PyTypeObject *)Py_NewRef((PyObject *)type);
    PyObject *closed = socket != NULL ? PyObject_CallMethod(socket, "close", NULL) : NULL;
    Py_XDECREF(closed);
    Py_XDECREF(object);
    Py_XDECREF(socket);
    Py_XDECREF(type);
    PyErr_Clear();
    return stand_in_type != NULL;
}

/* ---- the table ---- */

static struct ssl_calls **
bucket_of(const PyObject *object)
{
    return &table.buckets[((uintptr_t)object * 0x9e3779b97f4a7c15u >> 20) & table.mask];
}

static int
buckets_grow(void)
{
    struct ssl_calls **before = table.buckets;
    size_t before_count = before != NULL ? table.mask + 1 : 0;
    size_t count = before != NULL ? before_count * 2 : FIRST_BUCKETS;
    struct ssl_calls **buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL)
        return -1;
    table.buckets = buckets;
    table.mask = count - 1;
    for (size_t i = 0; i < before_count; i++) {
        for (struct ssl_calls *calls = before[i], *next; calls != NULL; calls = next) {
            struct ssl_calls **bucket = bucket_of(calls->object);
            next = calls->next;
            calls->next = *bucket;
            *bucket = calls;
        }
    }
    free(before);
    return 0;
}

/* The calls under way, NULL if there are none. */
static struct ssl_calls *
ssl_calls_find(PyObject *object)
{
    struct ssl_calls *calls = table.count > 0 ? *bucket_of(object) : NULL;
    while (calls != NULL && calls->object != object)
        calls = calls->next;
    return calls;
}

static struct ssl_calls *
calls_new(PyObject *object)
{
    if ((table.buckets == NULL || table.count > table.mask) && buckets_grow() < 0)
        return NULL;
    struct ssl_calls *calls = calloc(1, sizeof *calls);
    if (calls == NULL)
        return NULL;
    struct ssl_calls **bucket = bucket_of(object);
    calls->object = object;
    calls->made_nonblocking = -1;
    calls->next = *bucket;
    *bucket = calls;
    table.count++;
    return calls;
}

struct ssl_calls *
ssl_call_begin(PyObject *object)
{
    struct ssl_calls *calls = ssl_calls_find(object);
    if (calls == NULL && (calls = calls_new(object)) == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    calls->count++;
    return calls;
}

void
ssl_call_end(struct ssl_calls *calls)
{
    if (--calls->count > 0)
        return;
    struct ssl_calls **link = bucket_of(calls->object);
    while (*link != calls)
        link = &(*link)->next;
    *link = calls->next;
    table.count--;
    free(calls);
}

/* ---- what the original sees ---- */

const void *
ssl_caller(void)
{
    const struct thread *thread = current_thread;
    return thread != NULL ? (const void *)thread->current : (const void *)PyThreadState_Get();
}

SocketObject *
ssl_socket_of(PyObject *object)
{
    const struct ssl_calls *calls = ssl_calls_find(object);
    PyObject *reference = calls != NULL && calls->inside > 0 ? calls->reference : ((TlsObject *)object)->socket;
    return reference != NULL ? (SocketObject *)weak_target(reference) : NULL;
}

/* Exchanges what the TLS object refers to; takes over `reference`. */
static void
refer_to(struct ssl_calls *calls, PyObject *reference)
{
    TlsObject *object = (TlsObject *)calls->object;
    PyObject *before = object->socket;
    object->socket = reference;
    Py_DECREF(before);
}

static void
nonblocking_set(int descriptor, int on)
{
    ioctl(descriptor, FIONBIO, &on);
}

SocketObject *
ssl_enter(struct ssl_calls *calls, const SocketObject *socket, int64_t timeout)
{
    SocketObject *stand_in = stand_in_new(stand_in_type, socket);
    PyObject *reference = stand_in != NULL ? PyWeakref_NewRef((PyObject *)stand_in, NULL) : NULL;
    if (reference == NULL) {
        if (stand_in != NULL)
            stand_in_free(stand_in);
        return NULL;
    }
    stand_in->timeout = timeout;
    if (calls->inside++ == 0) {
        calls->reference = Py_NewRef(((TlsObject *)calls->object)->socket);
        calls->insider = ssl_caller();
    }
    refer_to(calls, reference);
    if (socket->timeout < 0 && calls->made_nonblocking < 0) {
        calls->made_nonblocking = socket->descriptor;
        nonblocking_set(socket->descriptor, 1);
    }
    return stand_in;
}

void
ssl_leave(struct ssl_calls *calls, const SocketObject *socket, SocketObject *stand_in)
{
    refer_to(calls, Py_NewRef(calls->reference));
    if (--calls->inside == 0) {
        Py_CLEAR(calls->reference);
        if (calls->made_nonblocking >= 0 && calls->made_nonblocking == socket->descriptor && socket->timeout < 0)
            nonblocking_set(socket->descriptor, 0);
        calls->made_nonblocking = -1;
    }
    stand_in_free(stand_in);
}
