/* Objects that modules of the standard library keep to themselves, as they lie in memory.

   Points are installed only where a real object shows it to be so. */
#ifndef GOSSAMER_CPYTHON_OBJECTS_H
#define GOSSAMER_CPYTHON_OBJECTS_H

#include "version.h"

#include <pythread.h>

/* ---- objects of the select module ---- */

/* What select.poll() makes. `descriptors` is what the last call of poll() asked for. */
typedef struct {
    PyObject_HEAD
    PyObject *dict;                  /* descriptor: events */
    int up_to_date, length;          /* of `descriptors`, against `dict` */
    struct pollfd *descriptors;
    int running;                     /* a call of poll() is under way: another one raises */
} PollObject;

/* What select.epoll() makes. */
typedef struct {
    PyObject_HEAD
    int descriptor;                  /* -1: closed */
} EpollObject;

/* ---- the socket object, which the module _socket keeps to itself ---- */

/* The same on every version; points are installed only where a real socket shows it to be so. */
typedef struct {
    PyObject_HEAD
    int descriptor;                  /* -1: closed */
    int family, type, protocol;
    PyObject *(*error_handler)(void);
    int64_t timeout;                 /* nanoseconds; negative: none, 0: not blocking */
} SocketObject;

/* ---- the TLS object, which the module _ssl keeps to itself ---- */

/* What the socket of the module ssl works through. The same on every version, and probed like the above. */
typedef struct {
    PyObject_HEAD
    PyObject *socket;                /* weak reference to the socket; NULL: it works on memory */
} TlsObject;

/* ---- inside _io's objects: the same on every version but for one bit, and probed ---- */

struct file_layout {
    PyObject_HEAD
    int descriptor;                  /* -1: closed */
    unsigned char bits;
};

static inline bool
file_is_readable(const struct file_layout *file)
{
    return file->bits & 0x02;
}

static inline bool
file_is_writable(const struct file_layout *file)
{
    return file->bits & 0x04;
}

/* Whether closing it closes the descriptor. 3.15 has a bit of another meaning before that. */
static inline bool
file_owns_descriptor(const struct file_layout *file)
{
    return file->bits & (PY_VERSION_HEX >= 0x030f0000 ? 0x80 : 0x40);
}

/* Whether it is known to be; two bits: 1, 0, or -1 as long as nobody has asked. */
static inline bool
file_is_seekable(const struct file_layout *file)
{
    return (file->bits >> 4 & 3) == 1;
}

static inline void
file_note_seekable(struct file_layout *file)
{
    file->bits = (unsigned char)((file->bits & ~0x30) | 0x10);
}

struct buffered_layout {
    PyObject_HEAD
    PyObject *raw;
    int state[5];
    int64_t position;
    char *buffer;
    int64_t places[5];
    PyThread_type_lock lock;
    unsigned long owner;             /* 0: nobody is inside */
    Py_ssize_t size;
};

/* ---- threads ---- */

#if PY_VERSION_HEX >= 0x030d0000
/* A _thread._ThreadHandle: the face of what really tells a thread's state. */
struct thread_handle_layout {
    PyObject_HEAD
    void *inner;
};

static inline void
thread_handles_exchange(PyObject *one, PyObject *other)
{
    struct thread_handle_layout *first = (struct thread_handle_layout *)one;
    struct thread_handle_layout *second = (struct thread_handle_layout *)other;
    void *inner = first->inner;
    first->inner = second->inner;
    second->inner = inner;
}
#endif

#endif
