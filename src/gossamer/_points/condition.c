/* threading.Condition: what Event, Semaphore, Barrier, queue.Queue and concurrent.futures wait by.

   Its methods are Python code over locks, which the points of locks have taught to park. But a wait is forty of its
   statements and a lock that is made to be taken twice, so the methods that waiting and waking go through are ours.

   Invariants:
   - What is held is the condition's own lock: green and native threads exclude each other by it as ever.
   - Whoever waits stands in `_waiters`, in the order they came: a green thread with a Waiter, anybody else, for whom
     the original runs, with a lock. Both are released by whoever notifies, in whatever thread, by this code or by
     the original, which calls their release() and takes them out.
   - A waiter is taken out once: by whoever notifies it, or by itself after a timeout or an interruption.
   - wait() returns, and raises, with the lock held. What interrupts it while it takes the lock back is raised
     then. Only LoopExit and MemoryError surface at once: nobody could be waited for.
   - One that was notified and is interrupted notifies the next in its place: no notification is lost by kill() or
     by a Timeout.
   - One that was notified after its time, before it had the lock again, has been notified.

   The originals keep what this does not know: subclasses, other locks than the interpreter's own, the hub greenlet,
   threads without a hub, timeouts of 0 and less. */
#include "locks.h"

#include <math.h>
#include <structmember.h>

/* A condition whose insides are what the threading module makes them. */
struct condition {
    PyObject *object;                /* borrowed */
    PyObject *lock;                  /* _thread.lock or RLock */
    PyObject *waiters;               /* collections.deque */
};

static PyObject *point_enter(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_exit(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_wait(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_notify(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_notify_all(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

static bool condition_probe(void);

#define CONDITION_POINT(method, ours, convention, sort, text) \
    {.module = "threading", .type = "Condition", .name = method, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = convention, .kind = sort, .group = "lock", .probe = condition_probe, .signature = text}

enum { ENTER, EXIT, WAIT, NOTIFY, NOTIFY_ALL };

struct point condition_points[] = {
    [ENTER] = CONDITION_POINT("__enter__", point_enter, METH_FASTCALL | METH_KEYWORDS, WAITER, "__enter__($self)"),
    [EXIT] = CONDITION_POINT("__exit__", point_exit, METH_FASTCALL | METH_KEYWORDS, WAKER, "__exit__($self, *args)"),
    [WAIT] = CONDITION_POINT("wait", point_wait, METH_FASTCALL | METH_KEYWORDS, WAITER, "wait($self, timeout=None)"),
    [NOTIFY] = CONDITION_POINT("notify", point_notify, METH_FASTCALL | METH_KEYWORDS, WAKER, "notify($self, n=1)"),
    [NOTIFY_ALL] = CONDITION_POINT("notify_all", point_notify_all, METH_FASTCALL | METH_KEYWORDS, WAKER,
                                   "notify_all($self)"),
    {.module = NULL},
};

/* ---- in place of the lock that a waiter of the threading module is ---- */

typedef struct {
    PyObject_HEAD
    struct wait_queue queue;         /* of the one green thread that made it */
    bool released;
} Waiter;

static PyObject *
Waiter_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Waiter *waiter = (Waiter *)self;
    if (waiter->released) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return NULL;
    }
    waiter->released = true;
    if (waiter->queue.first != NULL)
        hub_unpark(waiter->queue.first, UNPARKED);
    Py_RETURN_NONE;
}

static PyMethodDef waiter_methods[] = {
    {"release", Waiter_release, METH_NOARGS, "release()\n--\n\nLet the green thread that waits go on."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject Waiter_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "gossamer._core.ConditionWaiter",
    .tp_doc = "A green thread's place among those that wait for a threading.Condition.",
    .tp_basicsize = sizeof(Waiter),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_methods = waiter_methods,
};

static Waiter *
waiter_new(void)
{
    Waiter *waiter = PyObject_New(Waiter, &Waiter_Type);
    if (waiter == NULL)
        return NULL;
    waiter->queue = (struct wait_queue){0};
    waiter->released = false;
    return waiter;
}

/* ---- what is inside a condition ---- */

static PyTypeObject *condition_type, *deque_type;
static PyObject *str_lock, *str_waiters;
static PyObject *deque_append, *deque_popleft, *deque_remove;

static PyObject *
attribute_of(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *found = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return found;
}

static bool
names_ready(void)
{
    if (str_lock == NULL)
        str_lock = PyUnicode_InternFromString("_lock");
    if (str_waiters == NULL)
        str_waiters = PyUnicode_InternFromString("_waiters");
    if (deque_type == NULL)
        deque_type = (PyTypeObject *)attribute_of("_collections", "deque");
    if (deque_type != NULL && deque_remove == NULL) {
        deque_append = PyObject_GetAttrString((PyObject *)deque_type, "append");
        deque_popleft = PyObject_GetAttrString((PyObject *)deque_type, "popleft");
        deque_remove = PyObject_GetAttrString((PyObject *)deque_type, "remove");
    }
    return str_lock != NULL && str_waiters != NULL && deque_append != NULL && deque_popleft != NULL
           && deque_remove != NULL && PyType_Ready(&Waiter_Type) == 0;
}

static void
condition_close(struct condition *condition)
{
    Py_DECREF(condition->lock);
    Py_DECREF(condition->waiters);
}

/* Takes references to what is in it. 1: it is one that the functions below may be called for, to be closed; 0: it is
   the business of the original methods; -1: an exception is set. */
static int
condition_open(struct condition *condition, PyObject *object)
{
    if (!Py_IS_TYPE(object, condition_type))
        return 0;
    condition->object = object;
    condition->lock = PyObject_GetAttr(object, str_lock);
    condition->waiters = condition->lock != NULL ? PyObject_GetAttr(object, str_waiters) : NULL;
    if (condition->waiters == NULL) {
        Py_XDECREF(condition->lock);
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();               /* the original says what is missing */
        return 0;
    }
    if (Py_IS_TYPE(condition->waiters, deque_type) && (lock_check(condition->lock) || rlock_check(condition->lock)))
        return 1;
    condition_close(condition);
    return 0;
}

static bool
condition_probe(void)
{
    if (condition_type != NULL)
        return true;
    PyObject *type = names_ready() ? attribute_of("threading", "Condition") : NULL;
    PyObject *made = type != NULL ? PyObject_CallNoArgs(type) : NULL;
    condition_type = (PyTypeObject *)type;
    struct condition condition;
    int fits = made != NULL ? condition_open(&condition, made) : -1;
    if (fits == 1)
        condition_close(&condition);
    else
        condition_type = NULL;
    Py_XDECREF(made);
    PyErr_Clear();
    return fits == 1;
}

/* Whether the caller holds the lock, as Condition._is_owned() tells. */
static bool
condition_is_held(const struct condition *condition)
{
    return lock_check(condition->lock) ? lock_is_locked(condition->lock) : rlock_is_mine(condition->lock);
}

/* ---- waking ---- */

/* Takes the first one out. New reference, or NULL with an exception set. */
static PyObject *
waiters_take(PyObject *waiters)
{
    return PyObject_Vectorcall(deque_popleft, &waiters, 1, NULL);
}

/* 1: woken; 0: it had been before; -1: an exception is set. */
static int
waiter_wake(PyObject *waiter)
{
    if (lock_check(waiter)) {
        bool waits = lock_is_locked(waiter);
        if (waits)
            lock_release_green(waiter);
        return waits;
    }
    PyObject *result = Py_IS_TYPE(waiter, &Waiter_Type) ? Waiter_release(waiter, NULL)
                                                        : call_named(waiter, "release");
    if (result == NULL && PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        PyErr_Clear();
        return 0;
    }
    Py_XDECREF(result);
    return result != NULL ? 1 : -1;
}

/* Wakes the first `most` of those who wait; the caller holds the lock. Returns -1 with an exception set. */
static int
condition_notify(const struct condition *condition, Py_ssize_t most)
{
    PyObject *waiters = condition->waiters;
    while (most > 0 && Py_SIZE(waiters) > 0) {
        PyObject *waiter = waiters_take(waiters);
        int woken = waiter != NULL ? waiter_wake(waiter) : -1;
        Py_XDECREF(waiter);
        if (woken < 0)
            return -1;
        most -= woken;
    }
    return 0;
}

/* ---- waiting ---- */

/* Makes `earlier` (taken over) the context of the pending exception. */
static void
chain(PyObject *earlier)
{
    PyObject *later = PyErr_GetRaisedException();
    if (later != earlier)
        PyException_SetContext(later, earlier);
    else
        Py_DECREF(earlier);
    PyErr_SetRaisedException(later);
}

/* Takes the lock back, whatever interrupts that meanwhile: the last to do so is left as the pending exception, its
   context what was pending before. Returns false when the lock is not held: LoopExit or MemoryError. */
static bool
take_back(struct hub *hub, PyObject *lock, unsigned long times)
{
    for (;;) {
        PyObject *pending = PyErr_GetRaisedException();
        int taken = lock_check(lock) ? lock_acquire_green(hub, lock, INT64_MAX) : rlock_acquire_again(hub, lock, times);
        if (taken == 1) {
            if (pending != NULL)
                PyErr_SetRaisedException(pending);
            return true;
        }
        if (pending != NULL)
            chain(pending);
        if (PyErr_ExceptionMatches(core.loop_exit) || PyErr_ExceptionMatches(PyExc_MemoryError))
            return false;
    }
}

static int
waiter_park(struct hub *hub, Waiter *waiter, PyObject *subject, int64_t deadline)
{
    if (hub_prepare(hub, FOR_QUEUE, (uintptr_t)subject) < 0)
        return -1;
    wait_queue_append(&waiter->queue, hub->thread->current);
    return hub_prepare_deadline(hub, deadline) < 0 ? -1 : hub_park(hub);
}

/* Keeps a pending exception. */
static void
waiter_withdraw(const struct condition *condition, Waiter *waiter)
{
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *both[] = {condition->waiters, (PyObject *)waiter};
    PyObject *result = PyObject_Vectorcall(deque_remove, both, 2, NULL);
    if (result == NULL)
        PyErr_Clear();               /* a fork emptied it */
    Py_XDECREF(result);
    if (pending != NULL)
        PyErr_SetRaisedException(pending);
}

static void
pass_on(const struct condition *condition)
{
    PyObject *pending = PyErr_GetRaisedException();
    if (condition_notify(condition, 1) < 0)
        PyErr_WriteUnraisable(condition->object);
    PyErr_SetRaisedException(pending);
}

/* Lets go of the lock, which the caller holds, until it is notified or the deadline comes. 1: notified, 0: not in time,
   -1: an exception is set. The lock is held again, but for -1 with LoopExit or MemoryError. */
static int
condition_wait(struct hub *hub, const struct condition *condition, int64_t deadline)
{
    Waiter *waiter = waiter_new();
    PyObject *both[] = {condition->waiters, (PyObject *)waiter};
    PyObject *appended = waiter != NULL ? PyObject_Vectorcall(deque_append, both, 2, NULL) : NULL;
    Py_XDECREF(appended);
    if (appended == NULL) {
        Py_XDECREF(waiter);
        return -1;
    }
    PyObject *lock = condition->lock;
    unsigned long times = 1;
    if (lock_check(lock))
        lock_release_green(lock);
    else
        times = rlock_release_all(lock);
    bool interrupted = waiter_park(hub, waiter, condition->object, deadline) < 0;
    bool held = take_back(hub, lock, times);
    interrupted = interrupted || PyErr_Occurred();
    if (!waiter->released)
        waiter_withdraw(condition, waiter);
    else if (interrupted)
        pass_on(condition);
    int outcome = interrupted || !held ? -1 : waiter->released;
    Py_DECREF(waiter);
    return outcome;
}

/* ---- the points ---- */

/* 1: green, and opened; 0: for the original; -1: an exception is set. */
static int
open_green(struct hub *hub, struct condition *condition, PyObject *object)
{
    if (hub == NULL || hub->thread->current == hub->home)
        return 0;
    return condition_open(condition, object);
}

static PyObject *
point_enter(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &condition_points[ENTER];
    struct hub *hub = point_hub(point);
    bool ours = hub != NULL && count == 0 && names == NULL && Py_IS_TYPE(self, condition_type);
    PyObject *lock = ours ? PyObject_GetAttr(self, str_lock) : NULL;
    if (lock == NULL || !lock_check(lock)) {
        PyErr_Clear();
        Py_XDECREF(lock);
        return point_original(point, self, args, count, names);
    }
    int taken = lock_acquire_green(hub, lock, INT64_MAX);
    Py_DECREF(lock);
    return taken < 0 ? NULL : Py_NewRef(Py_True);
}

static PyObject *
point_exit(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &condition_points[EXIT];
    bool fits = names == NULL && (!EXIT_TAKES_THREE || count == 3);
    bool ours = point_hub(point) != NULL && fits && Py_IS_TYPE(self, condition_type);
    PyObject *lock = ours ? PyObject_GetAttr(self, str_lock) : NULL;
    if (lock == NULL || !lock_check(lock) || !lock_is_locked(lock)) {
        PyErr_Clear();
        Py_XDECREF(lock);
        return point_original(point, self, args, count, names);
    }
    lock_release_green(lock);
    Py_DECREF(lock);
    Py_RETURN_NONE;
}

/* The one argument that wait() and notify() have; `otherwise` when it is not given, NULL when the original has to
   judge. Borrowed. */
static PyObject *
only_argument(PyObject *const *args, Py_ssize_t count, PyObject *names, const char *name, PyObject *otherwise)
{
    Py_ssize_t total = count + (names != NULL ? PyTuple_GET_SIZE(names) : 0);
    if (total == 0)
        return otherwise;
    if (total > 1)
        return NULL;
    return count == 1 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), name) == 0 ? args[0] : NULL;
}

/* Returns false for what does not wait, or what the original has to judge. */
static bool
deadline_of(PyObject *timeout, int64_t *deadline)
{
    *deadline = INT64_MAX;
    if (timeout == Py_None)
        return true;
    if (timeout == NULL || (!PyFloat_CheckExact(timeout) && !PyLong_CheckExact(timeout)))
        return false;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1 && PyErr_Occurred())
        PyErr_Clear();
    if (!(seconds > 0 && seconds <= PY_TIMEOUT_MAX / 1e6))
        return false;
    *deadline = deadline_after(seconds);
    return true;
}

static PyObject *
point_wait(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &condition_points[WAIT];
    struct hub *hub = point_hub(point);
    struct condition condition;
    int64_t deadline;
    int ours = deadline_of(only_argument(args, count, names, "timeout", Py_None), &deadline)
                   ? open_green(hub, &condition, self)
                   : 0;
    if (ours < 0)
        return NULL;
    if (ours && !condition_is_held(&condition)) {
        condition_close(&condition);
        ours = 0;                    /* to refuse */
    }
    if (!ours)
        return point_original(point, self, args, count, names);
    int outcome = condition_wait(hub, &condition, deadline);
    condition_close(&condition);
    return outcome < 0 ? NULL : PyBool_FromLong(outcome);
}

/* From any thread. NULL with an exception set, or with none: the original has to do it. */
static PyObject *
notify(const struct point *point, PyObject *self, Py_ssize_t most)
{
    struct condition condition;
    int ours = point->on ? condition_open(&condition, self) : 0;
    if (ours <= 0)
        return NULL;
    bool held = condition_is_held(&condition);
    int result = held ? condition_notify(&condition, most) : -1;
    condition_close(&condition);
    return result == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
point_notify(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &condition_points[NOTIFY];
    PyObject *number = only_argument(args, count, names, "n", NULL);
    Py_ssize_t most = 1;
    bool known = count + (names != NULL ? PyTuple_GET_SIZE(names) : 0) == 0;
    if (!known && number != NULL && PyLong_CheckExact(number)) {
        most = PyLong_AsSsize_t(number);
        known = most != -1 || !PyErr_Occurred();
        PyErr_Clear();
    }
    PyObject *result = known ? notify(point, self, most) : NULL;
    return result != NULL || PyErr_Occurred() ? result : point_original(point, self, args, count, names);
}

static PyObject *
point_notify_all(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &condition_points[NOTIFY_ALL];
    PyObject *result = count == 0 && names == NULL ? notify(point, self, PY_SSIZE_T_MAX) : NULL;
    return result != NULL || PyErr_Occurred() ? result : point_original(point, self, args, count, names);
}
