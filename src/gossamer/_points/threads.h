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

/* ---- thread.c ---- */

/* NULL without an exception when threading is not imported, or has no such name. */
PyObject *threading_attribute(const char *name);

/* An entry of the table. What a version does not have is left out of it, not listed and skipped: its code does not
   exist there either. */
#define THREAD_POINT(method, ours, convention, sort, ...) \
    {.module = "_thread", .name = method, .function = (PyCFunction)(void (*)(void))ours, .flags = convention, \
     .kind = sort, __VA_ARGS__}
#define NOT_HERE {.module = "_thread", .name = "", .since = 0xffff}

/* A green thread that runs function(*args, **kwargs) when its turn comes. Returns its identity; NULL with an
   exception set. */
PyObject *start_green(struct hub *hub, PyObject *function, PyObject *args, PyObject *kwargs, PyObject *handle,
                      bool daemon);

/* The hub that is to run a thread started here; NULL, with no exception set: the original starts it. */
struct hub *hub_to_start_in(const struct point *point);

PyObject *started_identity(const struct started_thread *started);

/* ---- joining: thread_handle.c, or thread_sentinel.c up to 3.12 ---- */

/* One that is about to run becomes what its handle, if it has one, stands for. Returns -1 with an exception set. */
int joining_begin(const struct started_thread *started, PyObject *identity);

/* Lets those go on who wait for its end. */
void joining_end(const struct started_thread *started);

/* In a forked child: `current`, or NULL, is the only one that the interpreter leaves alive. */
void joining_after_fork(const struct started_thread *current);

#if HAS_THREAD_HANDLES
bool handle_probe(void);
PyObject *point_start_joinable_thread(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *point_handle_join(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *point_shutdown(PyObject *self, PyObject *ignored);

#  define JOINING_POINTS \
    [START_JOINABLE_THREAD] = THREAD_POINT("start_joinable_thread", point_start_joinable_thread, \
                                           METH_VARARGS | METH_KEYWORDS, WAKER, .group = "green-threads", \
                                           .off_at_first = true, .probe = handle_probe), \
    [HANDLE_JOIN] = THREAD_POINT("join", point_handle_join, METH_FASTCALL, WAITER, .type = "_ThreadHandle", \
                                 .group = "thread", .probe = handle_probe), \
    [SHUTDOWN] = THREAD_POINT("_shutdown", point_shutdown, METH_NOARGS, WAITER, .group = "thread"), \
    [SET_SENTINEL] = NOT_HERE
#else
bool sentinels_probe(void);
PyObject *point_set_sentinel(PyObject *self, PyObject *ignored);

#  define JOINING_POINTS \
    [START_JOINABLE_THREAD] = NOT_HERE, [HANDLE_JOIN] = NOT_HERE, [SHUTDOWN] = NOT_HERE, \
    [SET_SENTINEL] = THREAD_POINT("_set_sentinel", point_set_sentinel, METH_NOARGS, WAKER, .group = "thread", \
                                  .probe = sentinels_probe)
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
