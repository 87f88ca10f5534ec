/* What the points of locks share: see lock.c and rlock.c. */
#ifndef GOSSAMER_LOCKS_H
#define GOSSAMER_LOCKS_H

#include "points.h"

/* The first argument of acquire(), as the interpreter reads it: an int up to 3.11, then the truth of anything. Returns
   -1, without an exception, for what the original has to judge. */
int blocking_from(PyObject *argument);

/* Takes apart acquire(blocking=True, timeout=-1). Returns 0, with no exception, for what the original has
   to judge. */
int acquire_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names, bool *blocking,
                      int64_t *deadline);

/* Takes a lock for a green thread, parking until `deadline` at most. 1: taken, 0: not in time, -1: an
   exception is set. */
int lock_acquire_green(struct hub *hub, PyObject *lock, int64_t deadline);

/* Whether it is exactly one of the interpreter's own, of the layout that we know. */
bool lock_check(PyObject *object);
bool rlock_check(PyObject *object);

/* What the points of a plain lock do: they release it for anybody. */
void lock_release_green(PyObject *lock);

/* An RLock that its caller holds: releases it altogether and tells how often it was taken, to be given to the
   other, which returns as lock_acquire_green() does. */
bool rlock_is_mine(PyObject *rlock);
unsigned long rlock_release_all(PyObject *rlock);
int rlock_acquire_again(struct hub *hub, PyObject *rlock, unsigned long times);

/* Wakes the first green thread that waits for the object. */
static inline void
parking_lot_unpark(const void *object)
{
    if (unlikely(core.lot.waiting > 0))
        parking_lot_unpark_slowly(object);
}

#endif
