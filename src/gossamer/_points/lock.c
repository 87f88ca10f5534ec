/* _thread.lock: green threads wait in the parking lot, native threads in the lock itself.

   What is held is always the lock below, so that the two exclude each other, and locks made before there
   was any green thread are as good as others. A green waiter is woken by whoever releases the lock,
   in whatever thread, and tries again: a native thread or a newcomer may have been faster, and then it
   waits on, ahead of the others.

   Every way to release a lock from Python is a waker: release, release_lock, __exit__; and _at_fork_reinit, by which a
   forked child makes a new lock of one, where green threads that live on may wait for it. The lock that the
   interpreter itself releases (at the end of a native thread, up to 3.12) is the business of thread.c. */
#include "import_lock.h"
#include "locks.h"

#include <limits.h>

static PyObject *point_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_acquire_lock(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_enter(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_release(PyObject *self, PyObject *ignored);
static PyObject *point_exit(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *point_reinit(PyObject *self, PyObject *ignored);

static bool lock_probe(void);

#define LOCK_POINT(method, ours, convention, sort) \
    {.module = "_thread", .type = "LockType", .name = method, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = convention, .kind = sort, .group = "lock", .probe = lock_probe}

enum { ACQUIRE, ACQUIRE_LOCK, ENTER, EXIT = 5, REINIT };

struct point lock_points[] = {
    LOCK_POINT("acquire", point_acquire, METH_FASTCALL | METH_KEYWORDS, WAITER),
    LOCK_POINT("acquire_lock", point_acquire_lock, METH_FASTCALL | METH_KEYWORDS, WAITER),
    LOCK_POINT("__enter__", point_enter, METH_FASTCALL | METH_KEYWORDS, WAITER),
    LOCK_POINT("release", point_release, METH_NOARGS, WAKER),
    LOCK_POINT("release_lock", point_release, METH_NOARGS, WAKER),
    LOCK_POINT("__exit__", point_exit, METH_FASTCALL, WAKER),
    [REINIT] = LOCK_POINT("_at_fork_reinit", point_reinit, METH_NOARGS, WAKER),
    {.module = NULL},
};

static PyTypeObject *lock_type;

bool
lock_check(PyObject *object)
{
    return Py_IS_TYPE(object, lock_type);
}

/* Whether a lock is locked where we believe it is. */
static bool
lock_probe(void)
{
    PyObject *module = PyImport_ImportModule("_thread");
    PyObject *lock = module != NULL ? PyObject_CallMethod(module, "allocate_lock", NULL) : NULL;
    bool fits = lock != NULL && !lock_is_locked(lock) && lock_try(lock) && !lock_try(lock);
    PyObject *locked = fits ? PyObject_CallMethod(lock, "locked", NULL) : NULL;
    fits = locked == Py_True;
    Py_XDECREF(locked);
    if (fits) {
        lock_release(lock);
        locked = PyObject_CallMethod(lock, "locked", NULL);
        fits = locked == Py_False;
        Py_XDECREF(locked);
    }
    if (fits) {
        lock_type = Py_TYPE(lock);
        import_lock_look();
    }
    Py_XDECREF(lock);
    Py_XDECREF(module);
    return fits;
}

int
blocking_from(PyObject *argument)
{
    int truth;
#if BLOCKING_IS_AN_INT
    int overflow;
    PyObject *number = PyLong_Check(argument) || PyIndex_Check(argument) ? number_from(argument) : NULL;
    long value = number != NULL ? PyLong_AsLongAndOverflow(number, &overflow) : 0;
    bool fits = number != NULL && overflow == 0 && value >= INT_MIN && value <= INT_MAX;
    Py_XDECREF(number);
    truth = fits ? value != 0 : -1;
#else
    truth = PyObject_IsTrue(argument);
    if (truth < 0)
        PyErr_Clear();
#endif
    return truth;
}

int
acquire_arguments(PyObject *const *args, Py_ssize_t count, PyObject *names, bool *blocking, int64_t *deadline)
{
    PyObject *values[2] = {Py_True, NULL};
    static const char *const known[] = {"blocking", "timeout"};
    *blocking = true;
    *deadline = INT64_MAX;
    if (count == 0 && names == NULL)
        return 1;
    if (count > 2)
        return 0;
    for (Py_ssize_t i = 0; i < count; i++)
        values[i] = args[i];
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int which = PyUnicode_CompareWithASCIIString(name, known[0]) == 0   ? 0
                    : PyUnicode_CompareWithASCIIString(name, known[1]) == 0 ? 1
                                                                            : -1;
        if (which < count && which != -1)
            return 0;
        if (which == -1)
            return 0;
        values[which] = args[count + i];
    }
    int truth = blocking_from(values[0]);
    if (truth < 0)
        return 0;
    double seconds = values[1] != NULL ? seconds_from(values[1]) : -1;
    if (!(seconds == -1 || (seconds >= 0 && seconds <= PY_TIMEOUT_MAX / 1e6)))
        return 0;                    /* the original refuses it before it blocks */
    *blocking = truth;
    if (!truth && seconds != -1)
        return 0;
    if (seconds >= 0)
        *deadline = deadline_after(seconds);
    return 1;
}

int
lock_acquire_green(struct hub *hub, PyObject *lock, int64_t deadline)
{
    /* the mark first: it stands in the object, while trying is a call into the C library */
    for (bool again = false; lock_is_locked(lock) || !lock_try(lock); again = true) {
        int outcome = parking_lot_park(hub, lock, deadline, again);
        if (unlikely(outcome < 0)) {
            if (import_lock_puts_off(lock))
                continue;
            /* it may have been woken before it was interrupted: then it is the next one's turn */
            if (!lock_is_locked(lock))
                parking_lot_unpark(lock);
            return -1;
        }
        if (outcome == TIMED_OUT)
            return lock_try(lock);
    }
    return 1;
}

/* What is not the original's to judge is the same for each of them; what it refuses, it refuses by their own names. */
static inline PyObject *
acquire(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct hub *hub = point_hub(point);
    bool blocking;
    int64_t deadline;
    if (hub == NULL || !acquire_arguments(args, count, names, &blocking, &deadline))
        return point_original(point, self, args, count, names);
    int taken = blocking ? lock_acquire_green(hub, self, deadline) : lock_try(self);
    if (!blocking && !taken && hub_give_way(hub) < 0)
        return NULL;
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

static PyObject *
point_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return acquire(&lock_points[ACQUIRE], self, args, count, names);
}

static PyObject *
point_acquire_lock(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return acquire(&lock_points[ACQUIRE_LOCK], self, args, count, names);
}

static PyObject *
point_enter(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (EXIT_TAKES_THREE && unlikely(count != 0 || names != NULL))
        return point_original(&lock_points[ENTER], self, args, count, names);
    return acquire(&lock_points[ENTER], self, args, count, names);
}

void
lock_release_green(PyObject *lock)
{
    lock_release(lock);
    parking_lot_unpark(lock);
}

static PyObject *
point_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!lock_is_locked(self)) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return NULL;
    }
    lock_release(self);
    if (likely(core.lot.waiting == 0))
        Py_RETURN_NONE;
    parking_lot_unpark_slowly(self);
    return import_lock_released(self);
}

static PyObject *
point_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (EXIT_TAKES_THREE && unlikely(count != 3))
        return point_original(&lock_points[EXIT], self, args, count, NULL);
    return point_release(self, NULL);
}

static PyObject *
point_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *result = point_original_noargs(&lock_points[REINIT], self);
    parking_lot_unpark(self);
    return result;
}
