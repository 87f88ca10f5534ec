/* _multiprocessing.SemLock, on which the locks, semaphores, conditions and queues of multiprocessing stand.

   - What is held is a semaphore that other processes share, and no descriptor tells when one of them posts it. So a
     green thread tries, and parks for a while, longer each time; a release in this process wakes it at once. It cannot
     be left to another thread: who took a SemLock is noted with it.
   - That note is the number of an OS thread. Of a recursive lock it decides who may take it again and who may release
     it, so it must tell green threads apart: while one of them has it, its own identity stands there, and for the time
     of a call of the original whatever gives the right answer.
   - The original itself, asked not to block, does all taking and releasing. */
#include "locks.h"

#include <pythread.h>
#include <semaphore.h>
#include <stddef.h>
#include <structmember.h>

static PyObject *point_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static PyObject *point_enter(PyObject *self, PyObject *ignored);
static PyObject *point_release(PyObject *self, PyObject *ignored);
static PyObject *point_exit(PyObject *self, PyObject *const *args, Py_ssize_t count);
static PyObject *point_is_mine(PyObject *self, PyObject *ignored);
static bool semaphore_probe(void);

#define SEMAPHORE_POINT(method, ours, convention, sort) \
    {.module = "_multiprocessing", .type = "SemLock", .name = method, \
     .function = (PyCFunction)(void (*)(void))ours, .flags = convention, .kind = sort, .group = "lock", \
     .probe = semaphore_probe}

enum { ACQUIRE, ENTER, RELEASE, EXIT, IS_MINE };

struct point semaphore_points[] = {
    [ACQUIRE] = SEMAPHORE_POINT("acquire", point_acquire, METH_FASTCALL | METH_KEYWORDS, WAITER),
    [ENTER] = SEMAPHORE_POINT("__enter__", point_enter, METH_NOARGS, WAITER),
    [RELEASE] = SEMAPHORE_POINT("release", point_release, METH_NOARGS, WAKER),
    [EXIT] = SEMAPHORE_POINT("__exit__", point_exit, METH_FASTCALL, WAKER),
    [IS_MINE] = SEMAPHORE_POINT("_is_mine", point_is_mine, METH_NOARGS, WAKER),
    {.module = NULL},
};

enum { FIRST_PAUSE = 500000, LONGEST_PAUSE = 20000000 };  /* nanoseconds */

/* ---- who has it ---- */

/* A SemLock begins so. */
typedef struct {
    PyObject_HEAD
    sem_t *handle;
    unsigned long owner;             /* who took it last */
    int count;                       /* how often this process has it */
    int most;
    int kind;
} SemLockObject;

static bool
member_is_at(PyTypeObject *type, const char *name, size_t offset)
{
    PyObject *member = PyDict_GetItemString(type->tp_dict, name);
    return member != NULL && Py_IS_TYPE(member, &PyMemberDescr_Type)
        && ((PyMemberDescrObject *)member)->d_member->offset == (Py_ssize_t)offset;
}

/* Whether the members that Python sees leave just the place for those that it does not. */
static bool
semaphore_probe(void)
{
    PyObject *module = PyImport_ImportModule("_multiprocessing");
    PyObject *type = module != NULL ? PyObject_GetAttrString(module, "SemLock") : NULL;
    bool fits = type != NULL && PyType_Check(type)
        && member_is_at((PyTypeObject *)type, "handle", offsetof(SemLockObject, handle))
        && member_is_at((PyTypeObject *)type, "maxvalue", offsetof(SemLockObject, most))
        && member_is_at((PyTypeObject *)type, "kind", offsetof(SemLockObject, kind));
    PyErr_Clear();                   /* a build without semaphores has nothing to teach */
    Py_XDECREF(type);
    Py_XDECREF(module);
    return fits;
}

/* Calls the original in such a way that it takes the caller for the owner when the caller is, and for nobody when not.
   It must not block. */
static PyObject *
call_as_oneself(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    SemLockObject *lock = (SemLockObject *)self;
    unsigned long native = PyThread_get_thread_ident(), oneself = current_identity(), before = lock->owner;
    int held = lock->count;
    lock->owner = before == oneself ? native : 0;
    PyObject *result = point_original(point, self, args, count, NULL);
    lock->owner = lock->count > held ? oneself : before;
    return result;
}

/* 1: taken; 0: not to be had now; -1: an exception is set. */
static int
try(PyObject *self)
{
    PyObject *not_to_block = Py_False;
    PyObject *result = call_as_oneself(&semaphore_points[ACQUIRE], self, &not_to_block, 1);
    int taken = result != NULL ? result == Py_True : -1;
    Py_XDECREF(result);
    return taken;
}

/* ---- taking ---- */

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static PyObject *
acquire_green(struct hub *hub, PyObject *self, int64_t deadline)
{
    int taken;
    int64_t pause = FIRST_PAUSE;
    for (bool again = false; (taken = try(self)) == 0; again = true) {
        int64_t now = clock_now();
        if (now >= deadline)
            Py_RETURN_FALSE;
        if (parking_lot_park(hub, self, earlier(deadline, now + pause), again) < 0) {
            parking_lot_unpark(self);    /* it may have been woken before it was interrupted */
            return NULL;
        }
        pause = earlier(pause * 2, LONGEST_PAUSE);
    }
    return taken < 0 ? NULL : Py_NewRef(Py_True);
}

/* Takes apart acquire(block=True, timeout=None). false without an exception: for the original to judge. */
static bool
arguments(PyObject *const *args, Py_ssize_t count, PyObject *names, bool *block, int64_t *deadline)
{
    PyObject *values[2] = {Py_True, Py_None};
    if (count > 2)
        return false;
    for (Py_ssize_t i = 0; i < count; i++)
        values[i] = args[i];
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int which = PyUnicode_CompareWithASCIIString(name, "block") == 0     ? 0
                    : PyUnicode_CompareWithASCIIString(name, "timeout") == 0 ? 1
                                                                             : -1;
        if (which < count)
            return false;
        values[which] = args[count + i];
    }
    int truth = blocking_from(values[0]);
    double seconds = values[1] != Py_None ? PyFloat_AsDouble(values[1]) : 0;
    if (truth < 0 || PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    *block = truth;
    *deadline = values[1] != Py_None ? deadline_after(seconds > 0 ? seconds : 0) : INT64_MAX;
    return true;
}

static PyObject *
point_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct hub *hub = point_hub(&semaphore_points[ACQUIRE]);
    bool block;
    int64_t deadline;
    if (hub == NULL || !arguments(args, count, names, &block, &deadline))
        return point_original(&semaphore_points[ACQUIRE], self, args, count, names);
    return acquire_green(hub, self, block ? deadline : 0);
}

static PyObject *
point_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct hub *hub = point_hub(&semaphore_points[ENTER]);
    return hub != NULL ? acquire_green(hub, self, INT64_MAX) : point_original_noargs(&semaphore_points[ENTER], self);
}

/* ---- releasing ---- */

static PyObject *
release(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *result = call_as_oneself(point, self, args, count);
    if (result != NULL)
        parking_lot_unpark(self);
    return result;
}

static PyObject *
point_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return release(&semaphore_points[RELEASE], self, NULL, 0);
}

static PyObject *
point_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return release(&semaphore_points[EXIT], self, args, count);
}

static PyObject *
point_is_mine(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return call_as_oneself(&semaphore_points[IS_MINE], self, NULL, 0);
}
