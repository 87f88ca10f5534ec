/* _thread.RLock: owned by a green thread, not by the OS thread that runs it.

   The original tells owners apart by the OS thread's number, and all green threads of a thread share
   that. So in a thread with a hub every path is ours: the owner's number in the object is that of the
   green thread (current_identity), which for a main greenlet is the OS thread's as before. The lock
   below is really held, so native threads, for whom the originals run, find it taken by somebody else. */
#include "import_lock.h"
#include "locks.h"

static PyObject *point_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_enter(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_release(PyObject *self, PyObject *ignored);
static PyObject *point_exit(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *point_release_save(PyObject *self, PyObject *ignored);
static PyObject *point_acquire_restore(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *point_is_owned(PyObject *self, PyObject *ignored);
static PyObject *point_recursion_count(PyObject *self, PyObject *ignored);
static PyObject *point_reinit(PyObject *self, PyObject *ignored);

static bool rlock_probe(void);

#define RLOCK_POINT(method, ours, convention, sort, ...) \
    {.module = "_thread", .type = "RLock", .name = method, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = convention, .kind = sort, .group = "lock", .probe = rlock_probe, __VA_ARGS__}

enum { ACQUIRE, ENTER, RELEASE, EXIT, RELEASE_SAVE, ACQUIRE_RESTORE, IS_OWNED, RECURSION_COUNT, REINIT };

struct point rlock_points[] = {
    [ACQUIRE] = RLOCK_POINT("acquire", point_acquire, METH_FASTCALL | METH_KEYWORDS, WAITER),
    [ENTER] = RLOCK_POINT("__enter__", point_enter, METH_FASTCALL | METH_KEYWORDS, WAITER),
    [RELEASE] = RLOCK_POINT("release", point_release, METH_NOARGS, WAKER),
    [EXIT] = RLOCK_POINT("__exit__", point_exit, METH_FASTCALL, WAKER),
    [RELEASE_SAVE] = RLOCK_POINT("_release_save", point_release_save, METH_NOARGS, WAKER),
    [ACQUIRE_RESTORE] = RLOCK_POINT("_acquire_restore", point_acquire_restore, METH_FASTCALL, WAITER),
    [IS_OWNED] = RLOCK_POINT("_is_owned", point_is_owned, METH_NOARGS, WAITER),
    [RECURSION_COUNT] = RLOCK_POINT("_recursion_count", point_recursion_count, METH_NOARGS, WAITER,
                                    .since = 0x030c),
    [REINIT] = RLOCK_POINT("_at_fork_reinit", point_reinit, METH_NOARGS, WAKER),
    {.module = NULL},
};

static PyTypeObject *rlock_type;

bool
rlock_check(PyObject *object)
{
    return Py_IS_TYPE(object, rlock_type);
}

/* Whether owner and count are where we believe them to be. */
static bool
rlock_probe(void)
{
    PyObject *module = PyImport_ImportModule("_thread");
    PyObject *rlock = module != NULL ? PyObject_CallMethod(module, "RLock", NULL) : NULL;
    bool fits = rlock != NULL && rlock_count(rlock) == 0;
    for (unsigned long times = 1; fits && times <= 2; times++) {
        Py_XDECREF(PyObject_CallMethod(rlock, "acquire", NULL));
        fits = !PyErr_Occurred() && rlock_count(rlock) == times && rlock_owner(rlock) == PyThread_get_thread_ident();
    }
    for (int i = 0; rlock != NULL && fits && i < 2; i++)
        Py_XDECREF(PyObject_CallMethod(rlock, "release", NULL));
    fits = fits && !PyErr_Occurred() && rlock_count(rlock) == 0;
    if (fits)
        rlock_type = Py_TYPE(rlock);
    Py_XDECREF(rlock);
    Py_XDECREF(module);
    return fits;
}

bool
rlock_is_mine(PyObject *rlock)
{
    return rlock_count(rlock) > 0 && rlock_owner(rlock) == current_identity();
}

static bool
rlock_try(PyObject *rlock)
{
    if (!rlock_mutex_try(&((struct rlock_layout *)rlock)->lock))
        return false;
    rlock_set(rlock, current_identity(), 1);
    return true;
}

static int
rlock_acquire_green(struct hub *hub, PyObject *rlock, int64_t deadline)
{
    for (bool again = false; !rlock_try(rlock); again = true) {
        int outcome = parking_lot_park(hub, rlock, deadline, again);
        if (unlikely(outcome < 0)) {
            if (import_lock_puts_off(rlock))
                continue;
            if (rlock_count(rlock) == 0)
                parking_lot_unpark(rlock);
            return -1;
        }
        if (outcome == TIMED_OUT)
            return rlock_try(rlock);
    }
    return 1;
}

static void
rlock_release(PyObject *rlock)
{
    rlock_set(rlock, 0, 0);
    rlock_mutex_release(&((struct rlock_layout *)rlock)->lock);
    parking_lot_unpark(rlock);
}

unsigned long
rlock_release_all(PyObject *rlock)
{
    unsigned long times = rlock_count(rlock);
    rlock_release(rlock);
    return times;
}

int
rlock_acquire_again(struct hub *hub, PyObject *rlock, unsigned long times)
{
    int taken = rlock_acquire_green(hub, rlock, INT64_MAX);
    if (taken == 1)
        rlock_set(rlock, current_identity(), times);
    return taken;
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
    if (rlock_is_mine(self)) {
        rlock_set(self, rlock_owner(self), rlock_count(self) + 1);
        Py_RETURN_TRUE;
    }
    int taken = blocking ? rlock_acquire_green(hub, self, deadline) : rlock_try(self);
    if (!blocking && !taken && hub_give_way(hub) < 0)
        return NULL;
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

static PyObject *
point_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return acquire(&rlock_points[ACQUIRE], self, args, count, names);
}

static PyObject *
point_enter(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (EXIT_TAKES_THREE && unlikely(count != 0 || names != NULL))
        return point_original(&rlock_points[ENTER], self, args, count, names);
    return acquire(&rlock_points[ENTER], self, args, count, names);
}

static PyObject *
not_mine(void)
{
    PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
    return NULL;
}

static PyObject *
point_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!rlock_is_mine(self))
        return not_mine();
    unsigned long times = rlock_count(self);
    if (times > 1)
        rlock_set(self, rlock_owner(self), times - 1);
    else
        rlock_release(self);
    return likely(core.lot.waiting == 0) || times > 1 ? Py_NewRef(Py_None) : import_lock_released(self);
}

static PyObject *
point_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (EXIT_TAKES_THREE && unlikely(count != 3))
        return point_original(&rlock_points[EXIT], self, args, count, NULL);
    return point_release(self, NULL);
}

static PyObject *
point_release_save(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (rlock_count(self) == 0)
        return not_mine();
    PyObject *state = Py_BuildValue("kk", rlock_count(self), rlock_owner(self));
    if (state != NULL)
        rlock_release(self);
    return state;
}

static PyObject *
point_acquire_restore(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct hub *hub = point_hub(&rlock_points[ACQUIRE_RESTORE]);
    unsigned long times, owner;
    if (hub == NULL || count != 1 || !PyTuple_Check(args[0]))
        return point_original(&rlock_points[ACQUIRE_RESTORE], self, args, count, NULL);
    if (!PyArg_ParseTuple(args[0], "kk:_acquire_restore", &times, &owner)
        || rlock_acquire_green(hub, self, INT64_MAX) < 0)
        return NULL;
    rlock_set(self, owner, times);
    Py_RETURN_NONE;
}

static PyObject *
point_is_owned(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(rlock_is_mine(self));
}

static PyObject *
point_recursion_count(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLong(rlock_is_mine(self) ? rlock_count(self) : 0);
}

/* In a forked child: see lock.c. */
static PyObject *
point_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *result = point_original_noargs(&rlock_points[REINIT], self);
    parking_lot_unpark(self);
    return result;
}
