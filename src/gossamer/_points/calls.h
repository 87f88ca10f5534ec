/* Calls that are inside an object which keeps state of its own meanwhile: who is in there, and who has to wait.

   The interpreter's C code protects such an object (a database connection, a buffered file) by a lock that belongs to
   the OS thread. All green threads of a thread are one to that lock, so that the second one is let in, or refused,
   while the first one is parked in there. Points that may park inside keep a list of the calls under way.

   - An entry lies on the heap: the stack of a parked green thread may be elsewhere.
   - `interrupt` is an exception that ended a wait where C code in between could not be told. It is raised when the
     call ends, in place of what the call has to say. */
#ifndef GOSSAMER_CALLS_H
#define GOSSAMER_CALLS_H

#include "points.h"

struct call {
    const void *object;
    const struct fiber *fiber;       /* NULL: of a thread without a hub */
    unsigned long thread;            /* the OS thread */
    bool may_park;
    bool parked;                     /* inside of C code that others must not enter */
    PyObject *interrupt;             /* owned, or NULL */
    struct call *next, *previous;
};

/* Latest first. All zero is an empty one. */
struct calls {
    struct call *first;
    struct call *spare;
};

/* A call of the current fiber, or of the current thread when `hub` is NULL. NULL with MemoryError set. */
struct call *call_begin(struct calls *calls, struct hub *hub, const void *object);

/* Takes over `result`, NULL with an exception set, and returns what the caller is to get. */
PyObject *call_end(struct calls *calls, struct call *call, PyObject *result);

/* The latest call of the fiber, in `object` unless that is NULL; or NULL. */
struct call *call_of(const struct calls *calls, const struct fiber *fiber, const void *object);

#endif
