/* _thread._set_sentinel: joining, up to 3.12.

   A thread's sentinel is a lock that the thread acquires, and that is released when it has ended: to join it
   is to acquire that lock. Facts and rules:

   - The interpreter releases a native thread's sentinel itself, in C, when it deletes the thread state: by
     tstate->on_delete, with a weak reference to the lock. That passes none of our wakers. So the call is
     wrapped: after it, the lock's parking lot is told.
   - The wrapper runs while a thread state is taken apart: simple C code only.
   - The original takes what is in on_delete_data for a Python object, and drops it: ours is a tuple with the weak
     reference. It is put back to what the original knows before the original is called.
   - A green thread's sentinel is released when the green thread ends; its OS thread's on_delete stays alone. */
#include "threads.h"

#if !HAS_THREAD_HANDLES

#include "locks.h"

/* The interpreter's own function, the same for all threads. */
static void (*release_sentinel)(void *);

static void
sentinel_released(void *raw)
{
    PyObject *data = raw;
    PyObject *reference = Py_NewRef(PyTuple_GET_ITEM(data, 0));
    PyObject *lock = Py_NewRef(PyWeakref_GET_OBJECT(reference));
    Py_DECREF(data);
    release_sentinel(reference);
    if (lock != Py_None)
        parking_lot_unpark(lock);
    Py_DECREF(lock);
}

/* Returns -1 with an exception set. */
static int
hook(PyThreadState *tstate)
{
    if (tstate->on_delete == NULL || tstate->on_delete == sentinel_released)
        return 0;
    if (release_sentinel == NULL)
        release_sentinel = tstate->on_delete;
    PyObject *reference = tstate->on_delete_data;
    if (tstate->on_delete != release_sentinel || !PyWeakref_Check(reference))
        return 0;                        /* somebody else's */
    PyObject *data = PyTuple_Pack(1, reference);
    if (data == NULL)
        return -1;
    Py_DECREF(reference);
    tstate->on_delete_data = data;
    tstate->on_delete = sentinel_released;
    return 0;
}

static void
unhook(PyThreadState *tstate)
{
    if (tstate->on_delete != sentinel_released)
        return;
    PyObject *data = tstate->on_delete_data;
    tstate->on_delete_data = Py_NewRef(PyTuple_GET_ITEM(data, 0));
    tstate->on_delete = release_sentinel;
    Py_DECREF(data);
}

/* Installing comes upon threads that have been running for a while. */
bool
sentinels_probe(void)
{
    PyThreadState *tstate = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; tstate != NULL; tstate = PyThreadState_Next(tstate))
        if (hook(tstate) < 0)
            return false;
    return true;
}

static void
sentinel_release(PyObject *lock)
{
    if (!lock_is_locked(lock))
        return;
    PyObject *result = call_named(lock, "release");
    if (result == NULL)
        PyErr_WriteUnraisable(lock);
    Py_XDECREF(result);
}

int
joining_begin(const struct started_thread *Py_UNUSED(started), PyObject *Py_UNUSED(identity))
{
    return 0;                            /* the thread itself asks for its sentinel */
}

void
joining_end(const struct started_thread *started)
{
    if (started->sentinel != NULL)
        sentinel_release(started->sentinel);
}

void
joining_after_fork(const struct started_thread *Py_UNUSED(current))
{
}

static PyObject *
sentinel_of_green(struct started_thread *started)
{
    PyObject *module = PyImport_ImportModule("_thread");
    PyObject *lock = call_named(module, "allocate_lock");
    Py_XDECREF(module);
    if (lock != NULL)
        Py_XSETREF(started->sentinel, Py_NewRef(lock));
    return lock;
}

PyObject *
point_set_sentinel(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const struct point *point = &thread_points[SET_SENTINEL];
    struct started_thread *started = point->on ? started_current() : NULL;
    if (started != NULL)
        return sentinel_of_green(started);
    PyThreadState *tstate = PyThreadState_Get();
    unhook(tstate);
    PyObject *lock = point_original_noargs(point, self);
    if (lock != NULL && hook(tstate) < 0)
        Py_CLEAR(lock);
    return lock;
}

#endif
