/* The runtime, for the package's other compiled modules (_sync/, http/): a table of functions behind a capsule.

   They are extension modules of their own, so they cannot be linked with the core. A module calls
   runtime_import() once, when it is imported; after that each function here costs a call through a
   pointer. What Cython needs to know of it stands in gossamer/_core.pxd, name by name the same.

   Both sides are built together: the capsule is private, and its layout may change with every release.
   `size` catches what was left over from another build.

   This header needs Python.h alone, not the interpreter's internals. */
#ifndef GOSSAMER_INTERFACE_H
#define GOSSAMER_INTERFACE_H

#include "wait.h"
#include "watch.h"

#define RUNTIME_CAPSULE "gossamer._core._runtime"

struct runtime_interface {
    size_t size;

    /* The running greenlet. Borrowed. NULL with an exception set. */
    PyObject *(*current)(void);

    /* The calling thread's hub greenlet, made at first use. Borrowed. NULL with an exception set. */
    PyObject *(*hub)(void);

    /* Whether the caller runs on its thread's hub greenlet, where nothing may wait. */
    int (*on_hub)(void);

    /* A deadline for a timeout in seconds, None for none. -1 with TypeError or ValueError set. */
    int (*deadline_from)(PyObject *timeout, int64_t *deadline);

    /* Parks the caller in `queue`: behind the others, or ahead of them. `subject` is what reports name; the caller
       keeps it alive, and the queue with it. UNPARKED, TIMED_OUT, or -1 with an exception set. An exception may
       come after the wait had ended well: who was given something then hands it on. */
    int (*park)(struct wait_queue *queue, PyObject *subject, int64_t deadline, int ahead);

    /* Ends the wait of the first in `queue`. 0 when there is none. From any thread that holds the GIL. */
    int (*unpark_first)(struct wait_queue *queue);

    /* Before the memory of `queue` is freed: whoever still stands in it (its thread has ended) leaves it. */
    void (*abandon)(struct wait_queue *queue);

    /* Lets others run for so many seconds; 0: everybody who is ready. -1 with an exception set. */
    int (*pause)(double seconds);

    /* Has function(*args) called on the hub greenlet `hub`, in turn. From any thread. -1 with an exception set. */
    int (*call_soon)(PyObject *hub, PyObject *function, PyObject *args);

    /* Ends the wait of a parked greenlet with an exception. 0 when it does not wait. */
    int (*interrupt)(PyObject *greenlet, PyObject *exception);

    /* Waits until a descriptor is ready. UNPARKED, TIMED_OUT, or -1 with an exception set. */
    int (*wait_descriptor)(int descriptor, int for_writing, int64_t deadline);

    /* Has function(*args) called on the hub greenlet, and returns the Callback to stop it. NULL with an exception set. */
    PyObject *(*callback)(PyObject *hub, PyObject *function, PyObject *args);

    /* Events without waiting: see watch.h. */
    int (*watch_time)(struct watch *watch, PyObject *hub, int64_t when, int referenced);
    int (*watch_descriptor)(struct watch *watch, PyObject *hub, int descriptor, int events, int referenced);
    int (*watch_stand)(struct watch *watch, PyObject *hub, int kind, int referenced);
    int (*watch_tell)(struct watch *watch, PyObject *hub);
    void (*watch_stop)(struct watch *watch);
    void (*watch_refer)(struct watch *watch, int referenced);

    /* A point in time `seconds` from now, in nanoseconds of CLOCK_MONOTONIC; 0: now. */
    int64_t (*time_after)(double seconds);
};

#define NO_DEADLINE INT64_MAX

#ifndef GOSSAMER_INTERFACE_PROVIDER

static const struct runtime_interface *runtime;

/* The table behind a capsule of the core, which begins with its size. NULL with an exception set. */
static inline const void *
interface_table(const char *attribute, const char *name, size_t size)
{
    PyObject *core = PyImport_ImportModule("gossamer._core");
    PyObject *capsule = core != NULL ? PyObject_GetAttrString(core, attribute) : NULL;
    Py_XDECREF(core);
    if (capsule == NULL)
        return NULL;
    const size_t *table = (const size_t *)PyCapsule_GetPointer(capsule, name);
    Py_DECREF(capsule);              /* the module keeps it */
    if (table == NULL || *table == size)
        return table;
    PyErr_SetString(PyExc_ImportError, "gossamer's compiled modules are not of one build; reinstall it");
    return NULL;
}

/* Returns -1 with an exception set. */
static inline int
runtime_import(void)
{
    runtime = (const struct runtime_interface *)interface_table("_runtime", RUNTIME_CAPSULE, sizeof *runtime);
    return runtime != NULL ? 0 : -1;
}

static inline PyObject *
runtime_current(void)
{
    return runtime->current();
}

static inline PyObject *
runtime_hub(void)
{
    return runtime->hub();
}

static inline int
runtime_on_hub(void)
{
    return runtime->on_hub();
}

static inline int
runtime_deadline_from(PyObject *timeout, int64_t *deadline)
{
    if (timeout == Py_None) {
        *deadline = NO_DEADLINE;
        return 0;
    }
    return runtime->deadline_from(timeout, deadline);
}

static inline int
runtime_park(struct wait_queue *queue, PyObject *subject, int64_t deadline, int ahead)
{
    return runtime->park(queue, subject, deadline, ahead);
}

static inline int
runtime_unpark_first(struct wait_queue *queue)
{
    return queue->first != NULL ? runtime->unpark_first(queue) : 0;
}

static inline void
runtime_abandon(struct wait_queue *queue)
{
    if (queue->first != NULL)
        runtime->abandon(queue);
}

static inline int
runtime_pause(double seconds)
{
    return runtime->pause(seconds);
}

static inline int
runtime_call_soon(PyObject *hub, PyObject *function, PyObject *args)
{
    return runtime->call_soon(hub, function, args);
}

static inline int
runtime_interrupt(PyObject *greenlet, PyObject *exception)
{
    return runtime->interrupt(greenlet, exception);
}

static inline int
runtime_wait_descriptor(int descriptor, int for_writing, int64_t deadline)
{
    return runtime->wait_descriptor(descriptor, for_writing, deadline);
}

static inline PyObject *
runtime_callback(PyObject *hub, PyObject *function, PyObject *args)
{
    return runtime->callback(hub, function, args);
}

static inline int
runtime_watch_time(struct watch *watch, PyObject *hub, int64_t when, int referenced)
{
    return runtime->watch_time(watch, hub, when, referenced);
}

static inline int
runtime_watch_descriptor(struct watch *watch, PyObject *hub, int descriptor, int events, int referenced)
{
    return runtime->watch_descriptor(watch, hub, descriptor, events, referenced);
}

static inline int
runtime_watch_stand(struct watch *watch, PyObject *hub, int kind, int referenced)
{
    return runtime->watch_stand(watch, hub, kind, referenced);
}

static inline int
runtime_watch_tell(struct watch *watch, PyObject *hub)
{
    return runtime->watch_tell(watch, hub);
}

static inline void
runtime_watch_stop(struct watch *watch)
{
    runtime->watch_stop(watch);
}

static inline void
runtime_watch_refer(struct watch *watch, int referenced)
{
    runtime->watch_refer(watch, referenced);
}

static inline int64_t
runtime_time_after(double seconds)
{
    return runtime->time_after(seconds);
}

#endif
#endif
