/* threading.Condition from C: see condition.c. */
#ifndef GOSSAMER_CONDITIONS_H
#define GOSSAMER_CONDITIONS_H

#include "locks.h"

/* A condition whose insides are what the threading module makes them. */
struct condition {
    PyObject *object;                /* borrowed */
    PyObject *lock;                  /* _thread.lock or RLock */
    PyObject *waiters;               /* collections.deque */
};

/* Takes references to what is in it. 1: it is one that the functions below may be called for, to be closed; 0: it is
   the business of the original methods; -1: an exception is set. */
int condition_open(struct condition *condition, PyObject *object);
void condition_close(struct condition *condition);

/* Whether the caller holds the lock, as Condition._is_owned() tells. */
bool condition_is_held(const struct condition *condition);

/* Lets go of the lock, which the caller holds, until it is notified or the deadline comes. 1: notified, 0: not in time,
   -1: an exception is set. The lock is held again, but for -1 with LoopExit or MemoryError. */
int condition_wait(struct hub *hub, const struct condition *condition, int64_t deadline);

/* Wakes the first `most` of those who wait; the caller holds the lock. Returns -1 with an exception set. */
int condition_notify(const struct condition *condition, Py_ssize_t most);

#endif
