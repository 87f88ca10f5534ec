/* What the points of threads share: see thread.c, thread_handle.c and thread_sentinel.c. */
#ifndef GOSSAMER_THREADS_H
#define GOSSAMER_THREADS_H

#include "points.h"

/* A green thread that was started through _thread. It owns this, by what it runs. */
struct started_thread {
    GreenThreadObject *green;
    PyObject *handle;                    /* 3.13 and later: its _ThreadHandle, or NULL */
    PyObject *sentinel;                  /* up to 3.12: the lock to be released at its end, or NULL */
    bool daemon;                         /* the interpreter's exit does not wait for it */
    bool ended;
    struct started_thread *next, *previous;
};

extern struct started_thread *started_threads;

/* The one that runs, or whose descendant does; NULL when that was not started through _thread. */
struct started_thread *started_current(void);

/* The one with that identity, an int; NULL without an exception when there is none. */
struct started_thread *started_with(PyObject *identity);

/* How many native threads were started through _thread and have not ended. Returns -1 with an exception set. */
Py_ssize_t native_thread_count(void);

/* Calls the original of a point with its arguments as a METH_VARARGS function gets them. */
static inline PyObject *
point_original_call(const struct point *point, PyObject *args, PyObject *kwargs)
{
    return PyObject_Call(point->original, args, kwargs);
}

/* NULL without an exception when threading is not imported, or has no such name. */
PyObject *threading_attribute(const char *name);

#if PY_VERSION_HEX >= 0x030d0000
/* ---- thread_handle.c ---- */
bool handle_probe(void);
bool handle_check(PyObject *object);

/* Whether it belongs to a thread already. Returns -1 with an exception set. */
int handle_is_started(PyObject *handle);
PyObject *handle_new(void);

/* Makes it the handle of a running thread with that identity. Returns -1 with an exception set. */
int handle_adopt(PyObject *handle, PyObject *identity);
void handle_set_done(PyObject *handle);

PyObject *point_handle_join(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *point_shutdown(PyObject *self, PyObject *ignored);
void watchers_after_fork(void);
void thread_handles_after_fork(void);
#else
/* ---- thread_sentinel.c ---- */
bool sentinels_probe(void);
void sentinel_release(PyObject *lock);
PyObject *point_set_sentinel(PyObject *self, PyObject *ignored);
#endif

/* ---- thread_queue.c ---- */
PyObject *point_queue_get(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *point_queue_put(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *point_queue_put_nowait(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);

/* Places in the table of points. */
enum thread_point {
    GET_IDENT, START_NEW_THREAD, START_NEW, COUNT, EXCEPTHOOK, START_JOINABLE_THREAD, HANDLE_JOIN, SHUTDOWN,
    SET_SENTINEL, SET_NAME, QUEUE_GET, QUEUE_PUT, QUEUE_PUT_NOWAIT, THREAD_POINTS,
};

#endif
