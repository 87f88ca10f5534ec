/* Waiting on an object that has no room for a wait queue: a table from addresses to queues.

   Used for the interpreter's own locks, which green and native threads share: what is held is still the
   lock itself, and only those who wait stand here. A place exists while somebody parks on its address,
   so that with nobody waiting anywhere `waiting` is 0, and a waker has nothing to look up. One lot
   serves all threads: it is guarded by the GIL. */
#ifndef GOSSAMER_PARKING_LOT_H
#define GOSSAMER_PARKING_LOT_H

#include "wait.h"

struct hub;

struct parking_place {
    struct wait_queue queue;
    const void *address;
    Py_ssize_t parkers;              /* fibers inside parking_lot_park() for it */
    struct parking_place *next;
};

struct parking_lot {
    struct parking_place **buckets;
    size_t mask, places;
    Py_ssize_t waiting;
};

/* Parks the current fiber on `object`, behind those who wait already, or, when it was woken before and
   found the object taken again, ahead of them. Returns an enum wait_outcome, or -1 with an exception. */
int parking_lot_park(struct hub *hub, PyObject *object, int64_t deadline, bool again);

/* Wakes the first who waits for `object`, if any. From any thread. */
void parking_lot_unpark_slowly(const void *object);

#endif
