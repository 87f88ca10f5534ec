/* Inside _thread's lock objects, and the locks of the thread library that C code uses.

   Both kinds of objects are taken and released here without a call through Python; points probe at installation
   that they look like this. They held a pointer to a lock of the thread library first and hold a one-byte
   mutex now: plain locks since some micro release of 3.13, RLock since 3.14. */
#ifndef GOSSAMER_CPYTHON_LOCKS_H
#define GOSSAMER_CPYTHON_LOCKS_H

#include "version.h"

#include <pythread.h>
#include <semaphore.h>

#if PY_VERSION_HEX < 0x030e0000
typedef PyThread_type_lock RLockMutex;
#else
typedef PyMutex RLockMutex;
#endif

/* A plain lock up to 3.12, and in the first micro releases of 3.13. */
struct pointer_lock {
    PyObject_HEAD
    PyThread_type_lock lock;
    PyObject *weakrefs;
    char locked;
};

#if PY_VERSION_HEX >= 0x030d0000
/* A plain lock in later ones, and from 3.14 on. */
struct mutex_lock {
    PyObject_HEAD
    PyMutex lock;
};
#endif

struct rlock_layout {
    PyObject_HEAD
    RLockMutex lock;
#if PY_VERSION_HEX < 0x030e0000
    unsigned long owner;
    unsigned long count;             /* 0: free */
#else
    unsigned long long owner;        /* 0: free */
    size_t level;                    /* acquired once: 0 */
#endif
};

/* For a `struct pointer_lock` and the RLocks before 3.14, whose locks are semaphores on Linux. PyThread_acquire_lock_timed()
   would read the clock even for a timeout of 0, which is half of what trying costs. Where an interpreter was built with
   something else, the points' probes find out. */
static inline bool
pointer_lock_try(PyThread_type_lock lock)
{
    return sem_trywait((sem_t *)lock) == 0;
}

/* A lock of the thread library, as C code uses it: a semaphore up to 3.14, then a one-byte mutex. */
static inline bool
pointer_lock_is_taken(PyThread_type_lock lock)
{
#if PY_VERSION_HEX >= 0x030f0000
    return __atomic_load_n((uint8_t *)lock, __ATOMIC_RELAXED) & 1;
#else
    int value;
    return sem_getvalue((sem_t *)lock, &value) == 0 && value <= 0;
#endif
}

#if PY_VERSION_HEX >= 0x030d0000
static inline bool
mutex_try(PyMutex *mutex)
{
    uint8_t bits = __atomic_load_n(&mutex->_bits, __ATOMIC_RELAXED);
    return !(bits & 1)
        && __atomic_compare_exchange_n(&mutex->_bits, &bits, bits | 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
#endif

static inline bool
rlock_mutex_try(RLockMutex *lock)
{
#if PY_VERSION_HEX < 0x030e0000
    return pointer_lock_try(*lock);
#else
    return mutex_try(lock);
#endif
}

static inline void
rlock_mutex_release(RLockMutex *lock)
{
#if PY_VERSION_HEX < 0x030e0000
    PyThread_release_lock(*lock);
#else
    PyMutex_Unlock(lock);
#endif
}

/* Micro releases of 3.13 differ, so the object tells: a mutex is one byte. */
static inline bool
lock_is_mutex(PyObject *lock)
{
#if PY_VERSION_HEX >= 0x030e0000
    (void)lock;
    return true;
#elif PY_VERSION_HEX >= 0x030d0000
    return Py_TYPE(lock)->tp_basicsize < (Py_ssize_t)sizeof(struct pointer_lock);
#else
    (void)lock;
    return false;
#endif
}

static inline bool
lock_is_locked(PyObject *lock)
{
#if PY_VERSION_HEX >= 0x030d0000
    if (lock_is_mutex(lock))
        return ((struct mutex_lock *)lock)->lock._bits & 1;
#endif
    return ((struct pointer_lock *)lock)->locked;
}

static inline bool
lock_try(PyObject *lock)
{
#if PY_VERSION_HEX >= 0x030d0000
    if (lock_is_mutex(lock))
        return mutex_try(&((struct mutex_lock *)lock)->lock);
#endif
    struct pointer_lock *plain = (struct pointer_lock *)lock;
    if (!pointer_lock_try(plain->lock))
        return false;
    plain->locked = 1;
    return true;
}

/* Of a locked one. */
static inline void
lock_release(PyObject *lock)
{
#if PY_VERSION_HEX >= 0x030d0000
    if (lock_is_mutex(lock)) {
        PyMutex_Unlock(&((struct mutex_lock *)lock)->lock);
        return;
    }
#endif
    struct pointer_lock *plain = (struct pointer_lock *)lock;
    plain->locked = 0;
    PyThread_release_lock(plain->lock);
}

static inline unsigned long
rlock_owner(PyObject *rlock)
{
    return (unsigned long)((struct rlock_layout *)rlock)->owner;
}

/* How often its owner has acquired it. */
static inline unsigned long
rlock_count(PyObject *object)
{
    struct rlock_layout *rlock = (struct rlock_layout *)object;
#if PY_VERSION_HEX < 0x030e0000
    return rlock->count;
#else
    return rlock->owner != 0 ? rlock->level + 1 : 0;
#endif
}

static inline void
rlock_set(PyObject *object, unsigned long owner, unsigned long count)
{
    struct rlock_layout *rlock = (struct rlock_layout *)object;
    rlock->owner = owner;
#if PY_VERSION_HEX < 0x030e0000
    rlock->count = count;
#else
    rlock->level = count > 0 ? count - 1 : 0;
#endif
}

#endif
