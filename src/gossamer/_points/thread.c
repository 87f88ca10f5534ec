/* _thread: threads that are green threads.

   The threading module stays as it is; what it calls beneath starts a green thread instead of a native
   one, while the group "green-threads" is on. That is so in threads that have a hub, and in the main
   thread, which gets one; in any other native thread the originals run.

   Facts and rules:
   - A green thread's number, get_ident(), is the address of its object; the main greenlet's is that of
     its OS thread. It goes with the points of locks, since both tell owners apart by it: the import
     system's module locks are Python code over get_ident() and _thread's locks.
   - Who asked for its number may have noted it: threading.current_thread() keeps a _DummyThread for one
     that it did not start. So at the end of a green thread that was asked, its entry there is dropped.
   - A thread's function ends as a native one's does: SystemExit quietly, any other exception reported
     to sys.unraisablehook. GreenletExit, by which a hub ends what is parked, is quiet too, and
     threading.excepthook says nothing of it.
   - Order at the end, as for native threads: thread locals are dropped, in the thread, then whoever joins
     goes on.
   - A native thread's context is empty at first: so is this one's (3.14 and later: threading runs it in one).

   What cannot be the same:
   - sys.settrace and sys.setprofile are the OS thread's: threading.settrace reaches a green thread only by
     setting them for all that share its OS thread.
   - get_native_id() is the OS thread's; set_name() does nothing for a green thread (3.14 and later).
   - After a fork, the other green threads of the forking thread go on in the child, but the threading module
     takes them for stopped, as POSIX has it: join() does not wait for them, nor does the exit of the child. They
     are put back into its list of threads, so that they find themselves there and can end in peace.
   - The global import lock counts per OS thread: a green thread that parks while it holds it lets the others of
     its OS thread in. Only the import system takes it, for a few statements that wait for nothing.
   - 3.11, 3.12: asyncio's running loop is a green thread's own only while the group is on. */
#include "threads.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static PyObject *point_get_ident(PyObject *self, PyObject *ignored);
static PyObject *point_start_new_thread(PyObject *self, PyObject *args);
static PyObject *point_start_new(PyObject *self, PyObject *args);
static PyObject *point_count(PyObject *self, PyObject *ignored);
static PyObject *point_excepthook(PyObject *self, PyObject *details);
static PyObject *point_set_name(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names);
static void green_threads_switched(bool on);

#define QUEUE_POINT(method, ours, sort) \
    {.module = "_queue", .type = "SimpleQueue", .name = method, .function = (PyCFunction)(void (*)(void))ours, \
     .flags = METH_FASTCALL | METH_KEYWORDS, .kind = sort, .group = "queue"}

struct point thread_points[] = {
    [GET_IDENT] = THREAD_POINT("get_ident", point_get_ident, METH_NOARGS, WAKER, .group = "lock"),
    [START_NEW_THREAD] = THREAD_POINT("start_new_thread", point_start_new_thread, METH_VARARGS, WAKER,
                                      .group = "green-threads", .off_at_first = true,
                                      .switched = green_threads_switched),
    [START_NEW] = THREAD_POINT("start_new", point_start_new, METH_VARARGS, WAKER, .group = "green-threads",
                               .off_at_first = true),
    [COUNT] = THREAD_POINT("_count", point_count, METH_NOARGS, WAKER, .group = "thread"),
    [EXCEPTHOOK] = THREAD_POINT("_excepthook", point_excepthook, METH_O, WAKER, .group = "thread"),
    JOINING_POINTS,
    [SET_NAME] = THREAD_POINT("set_name", point_set_name, METH_FASTCALL | METH_KEYWORDS, WAKER, .group = "thread",
                              .since = 0x030e),
    [QUEUE_GET] = QUEUE_POINT("get", point_queue_get, WAITER),
    [QUEUE_PUT] = QUEUE_POINT("put", point_queue_put, WAKER),
    [QUEUE_PUT_NOWAIT] = QUEUE_POINT("put_nowait", point_queue_put_nowait, WAKER),
    [THREAD_POINTS] = {.module = NULL},
};

/* ---- who is who ---- */

struct started_thread *started_threads;

/* {identity: address of its started_thread}, made with the first one. */
static PyObject *started_by_identity;

static PyObject *
identity_of(const GreenThreadObject *green)
{
    return PyLong_FromUnsignedLong((unsigned long)(uintptr_t)green);
}

PyObject *
started_identity(const struct started_thread *started)
{
    return identity_of(started->green);
}

struct started_thread *
started_with(PyObject *identity)
{
    PyObject *address = started_by_identity != NULL ? PyDict_GetItemWithError(started_by_identity, identity) : NULL;
    return address != NULL ? PyLong_AsVoidPtr(address) : NULL;
}

struct started_thread *
started_current(void)
{
    struct thread *thread = current_thread;
    GreenThreadObject *green = thread != NULL ? green_thread_of(thread->current) : NULL;
    PyObject *identity = green != NULL ? identity_of(green) : NULL;
    struct started_thread *started = identity != NULL ? started_with(identity) : NULL;
    Py_XDECREF(identity);
    return started;
}

/* An attribute of the threading module, when that has been imported; NULL without an exception otherwise. */
PyObject *
threading_attribute(const char *name)
{
    PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "threading");
    PyObject *attribute = attribute_named(module, name);
    if (attribute == NULL)
        PyErr_Clear();
    return attribute;
}

/* threading on 3.13 and later deletes a _DummyThread's entry when a thread local of its thread goes. While
   thread locals are the OS thread's, that would stay there until its end. */
static void
dummy_forget(PyObject *identity)
{
    PyObject *info = threading_attribute("_thread_local_info");
    PyObject *tracker = attribute_named(info, "_track_dummy_thread_ref");
    PyObject *tracked = attribute_named(tracker, "_tident");
    if (tracked != NULL && PyObject_RichCompareBool(tracked, identity, Py_EQ) == 1)
        PyObject_DelAttrString(info, "_track_dummy_thread_ref");
    PyErr_Clear();
    Py_XDECREF(tracked);
    Py_XDECREF(tracker);
    Py_XDECREF(info);
}

static void
identity_ended(PyObject *green)
{
    PyObject *active = threading_attribute("_active");
    PyObject *identity = active != NULL && PyDict_Check(active) ? identity_of((GreenThreadObject *)green) : NULL;
    if (identity != NULL && PyDict_Contains(active, identity) == 1)
        PyDict_DelItem(active, identity);
    PyErr_Clear();
    if (identity != NULL && !core.green_threads_own_locals)
        dummy_forget(identity);
    Py_XDECREF(identity);
    Py_XDECREF(active);
}

static PyObject *
point_get_ident(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    struct thread *thread = current_thread;
    if (thread == NULL || !thread_points[GET_IDENT].on)
        return PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    GreenThreadObject *green = green_thread_of(thread->current);
    if (green == NULL)
        return PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    green->identity_asked = true;
    core.identity_ended = identity_ended;
    return identity_of(green);
}

/* ---- the life of one ---- */

static const char capsule_name[] = "gossamer._core.started_thread";

/* Returns -1 with an exception set. */
static int
started_enlist(struct started_thread *started)
{
    if (started_by_identity == NULL && (started_by_identity = PyDict_New()) == NULL)
        return -1;
    PyObject *identity = identity_of(started->green);
    PyObject *address = identity != NULL ? PyLong_FromVoidPtr(started) : NULL;
    int result = address != NULL ? PyDict_SetItem(started_by_identity, identity, address) : -1;
    Py_XDECREF(identity);
    Py_XDECREF(address);
    if (result < 0)
        return -1;
    started->next = started_threads;
    if (started->next != NULL)
        started->next->previous = started;
    started_threads = started;
    return 0;
}

static void
started_delist(struct started_thread *started)
{
    if (started->previous != NULL)
        started->previous->next = started->next;
    else if (started_threads == started)
        started_threads = started->next;
    if (started->next != NULL)
        started->next->previous = started->previous;
    started->next = started->previous = NULL;
    PyObject *identity = identity_of(started->green);
    if (identity == NULL || PyDict_DelItem(started_by_identity, identity) < 0)
        PyErr_Clear();
    Py_XDECREF(identity);
}

/* Tells everybody who wants to know that it has ended. */
static void
started_end(struct started_thread *started)
{
    if (started->ended)
        return;
    PyObject *pending = PyErr_GetRaisedException();
    started->ended = true;
    started_delist(started);
    joining_end(started);
    Py_CLEAR(started->handle);
    Py_CLEAR(started->sentinel);
    if (pending != NULL)
        PyErr_SetRaisedException(pending);
}

/* What it runs has been dropped: it ended, or never will begin. */
static void
capsule_destroyed(PyObject *capsule)
{
    struct started_thread *started = PyCapsule_GetPointer(capsule, capsule_name);
    started_end(started);
    free(started);
}

/* What a green thread runs: args are (function, args, kwargs or None). */
static PyObject *
started_run(PyObject *capsule, PyObject *args)
{
    struct started_thread *started = PyCapsule_GetPointer(capsule, capsule_name);
    PyObject *function = PyTuple_GET_ITEM(args, 0), *kwargs = PyTuple_GET_ITEM(args, 2);
    PyObject *result = PyObject_Call(function, PyTuple_GET_ITEM(args, 1), kwargs != Py_None ? kwargs : NULL);
    Py_XDECREF(result);
    if (result == NULL) {
        if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(core.greenlet_exit))
            PyErr_Clear();
        else
            thread_error_report(function);
    }
    own_state_end(started->green);
    started_end(started);
    Py_RETURN_NONE;
}

static PyMethodDef started_definition = {"thread", started_run, METH_VARARGS, NULL};

/* The Python callable that runs it and, by that, owns it. */
static PyObject *
started_callable(struct started_thread *started)
{
    PyObject *capsule = PyCapsule_New(started, capsule_name, NULL);
    if (capsule == NULL)
        return NULL;
    PyObject *callable = PyCFunction_New(&started_definition, capsule);
    if (callable != NULL)
        PyCapsule_SetDestructor(capsule, capsule_destroyed);
    Py_DECREF(capsule);
    return callable;
}

PyObject *
start_green(struct hub *hub, PyObject *function, PyObject *args, PyObject *kwargs, PyObject *handle, bool daemon)
{
    struct started_thread *started = calloc(1, sizeof *started);
    if (started == NULL)
        return PyErr_NoMemory();
    started->ended = true;               /* until it is linked */
    started->daemon = daemon;
    PyObject *callable = started_callable(started);
    if (callable == NULL) {
        free(started);
        return NULL;
    }
    PyObject *identity = NULL, *call = PyTuple_Pack(3, function, args, kwargs != NULL ? kwargs : Py_None);
    GreenThreadObject *green = call != NULL ? green_thread_new(hub, callable, call) : NULL;
    Py_XDECREF(call);
    Py_DECREF(callable);
    if (green == NULL)
        return NULL;
    started->green = green;
    if (started_enlist(started) == 0) {
        started->ended = false;
        started->handle = Py_XNewRef(handle);
        identity = identity_of(green);
    }
    if (identity != NULL && joining_begin(started, identity) < 0)
        Py_CLEAR(identity);
    if (identity != NULL && green_thread_start(green) < 0)
        Py_CLEAR(identity);
    Py_DECREF(green);
    return identity;
}

/* ---- starting ---- */

struct hub *
hub_to_start_in(const struct point *point)
{
    if (!point->on || interpreter_is_finalizing())
        return NULL;
    struct thread *thread = current_thread;
    if (thread != NULL && thread->hub != NULL)
        return thread->hub;
    if (syscall(SYS_gettid) != getpid())
        return NULL;
    struct hub *hub = hub_get();
    if (hub == NULL)
        PyErr_Clear();
    return hub;
}

/* Whether the original would accept them. */
static bool
start_arguments_fit(PyObject *args)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    return (count == 2 || count == 3) && PyCallable_Check(PyTuple_GET_ITEM(args, 0))
        && PyTuple_Check(PyTuple_GET_ITEM(args, 1)) && (count == 2 || PyDict_Check(PyTuple_GET_ITEM(args, 2)));
}

static PyObject *
start_new(const struct point *point, PyObject *args)
{
    struct hub *hub = start_arguments_fit(args) ? hub_to_start_in(point) : NULL;
    if (hub == NULL)
        return point_original_call(point, args, NULL);
    PyObject *function = PyTuple_GET_ITEM(args, 0), *positional = PyTuple_GET_ITEM(args, 1);
    PyObject *kwargs = PyTuple_GET_SIZE(args) == 3 ? PyTuple_GET_ITEM(args, 2) : NULL;
    if (PySys_Audit("_thread.start_new_thread", "OOO", function, positional, kwargs != NULL ? kwargs : Py_None) < 0)
        return NULL;
    return start_green(hub, function, positional, kwargs, NULL, true);
}

static PyObject *
point_start_new_thread(PyObject *Py_UNUSED(self), PyObject *args)
{
    return start_new(&thread_points[START_NEW_THREAD], args);
}

static PyObject *
point_start_new(PyObject *Py_UNUSED(self), PyObject *args)
{
    return start_new(&thread_points[START_NEW], args);
}

/* ---- the small ones ---- */

Py_ssize_t
native_thread_count(void)
{
    PyObject *count = point_original_noargs(&thread_points[COUNT], NULL);
    Py_ssize_t result = count != NULL ? PyLong_AsSsize_t(count) : -1;
    Py_XDECREF(count);
    return result;
}

/* Threads of pools are nobody's but ours: a program that waits until its threads are gone does not know of them. */
static PyObject *
point_count(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t native = native_thread_count();
    if (native < 0)
        return NULL;
    Py_ssize_t count = native > core.pool_threads ? native - core.pool_threads : 0;
    if (thread_points[COUNT].on && started_by_identity != NULL)
        count += PyDict_GET_SIZE(started_by_identity);
    return PyLong_FromSsize_t(count);
}

static PyObject *
point_excepthook(PyObject *self, PyObject *details)
{
    const struct point *point = &thread_points[EXCEPTHOOK];
    if (point->on && PyTuple_Check(details) && PyTuple_GET_SIZE(details) > 0
        && PyTuple_GET_ITEM(details, 0) == core.greenlet_exit)
        Py_RETURN_NONE;
    return point_original_o(point, self, details);
}

/* From 3.14 on. */
static PyObject *
point_set_name(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    const struct point *point = &thread_points[SET_NAME];
    bool named = count == 1 && names == NULL && PyUnicode_Check(args[0]);
    if (point->on && named && current_thread != NULL && green_thread_of(current_thread->current) != NULL)
        Py_RETURN_NONE;
    return point_original(point, self, args, count, names);
}

/* ---- fork and exit ---- */

/* The threading.Thread that a started one runs: borrowed; NULL when it runs something else. */
static PyObject *
thread_object_of(struct started_thread *started, PyObject *thread_class)
{
    PyObject *args = started->green->greenlet.fiber->args;
    PyObject *function = args != NULL && PyTuple_Check(args) ? PyTuple_GET_ITEM(args, 0) : NULL;
    PyObject *object = function != NULL && PyMethod_Check(function) ? PyMethod_GET_SELF(function) : NULL;
    return object != NULL && PyObject_IsInstance(object, thread_class) == 1 ? object : NULL;
}

/* Puts it back into threading's list, whose entries of all but the forking thread are gone. */
static void
return_to_threading(struct started_thread *started, PyObject *active, PyObject *limbo, PyObject *thread_class)
{
    PyObject *object = thread_object_of(started, thread_class);
    PyObject *identity = object != NULL ? identity_of(started->green) : NULL;
    if (identity == NULL)
        return;
    if (started->green->greenlet.fiber->entered)
        PyDict_SetItem(active, identity, object);
    else
        PyDict_SetItem(limbo, object, object);
    Py_DECREF(identity);
}

/* Of the other green threads: those of this thread go on, the rest have no thread any more. */
static void
others_after_fork(struct started_thread *current)
{
    PyObject *active = threading_attribute("_active"), *limbo = threading_attribute("_limbo");
    PyObject *thread_class = threading_attribute("Thread");
    for (struct started_thread *started = started_threads, *next; started != NULL; started = next) {
        next = started->next;
        if (fiber_thread(started->green->greenlet.fiber) != current_thread)
            started_end(started);
        else if (started != current && active != NULL && limbo != NULL && thread_class != NULL)
            return_to_threading(started, active, limbo, thread_class);
        started->daemon = started->daemon || started != current;
    }
    PyErr_Clear();
    Py_XDECREF(active);
    Py_XDECREF(limbo);
    Py_XDECREF(thread_class);
}

static PyObject *
after_fork_in_child(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    struct started_thread *current = started_current();
    joining_after_fork(current);
    others_after_fork(current);
    Py_RETURN_NONE;
}

/* In this local, from 3.13 on, is what tells threading of the end of a thread that it has not started. Those of green
   threads that are parked would go with it when threading's names are gone, and complain: so it stays for good. */
static void
keep_local_of_threading(void)
{
    (void)threading_attribute("_thread_local_info");
}

/* The interpreter is about to take down its thread states, from whatever stack this runs on. */
static PyObject *
at_exit(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    own_states_stay();
    keep_local_of_threading();
    Py_RETURN_NONE;
}

static PyMethodDef hooks[] = {
    {"after_fork_in_child", after_fork_in_child, METH_NOARGS, NULL},
    {"at_exit", at_exit, METH_NOARGS, NULL},
};

/* After threading's own, so that in a child it comes first. Returns -1 with an exception set. */
static int
hooks_register(void)
{
    static bool registered;
    if (registered)
        return 0;
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *os = threading != NULL ? PyImport_ImportModule("os") : NULL;
    PyObject *atexit = os != NULL ? PyImport_ImportModule("atexit") : NULL;
    PyObject *forked = atexit != NULL ? PyCFunction_New(&hooks[0], NULL) : NULL;
    PyObject *exiting = forked != NULL ? PyCFunction_New(&hooks[1], NULL) : NULL;
    PyObject *add = exiting != NULL ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
    PyObject *kwargs = add != NULL ? Py_BuildValue("{s:O}", "after_in_child", forked) : NULL;
    PyObject *first = kwargs != NULL ? PyObject_Call(add, core.empty_tuple, kwargs) : NULL;
    PyObject *second = first != NULL ? PyObject_CallMethod(atexit, "register", "O", exiting) : NULL;
    registered = second != NULL;
    PyObject *all[] = {threading, os, atexit, forked, exiting, add, kwargs, first, second};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        Py_XDECREF(all[i]);
    return registered ? 0 : -1;
}

/* An exception that stays set is points_switch()'s. */
static void
green_threads_switched(bool on)
{
    if (on && hooks_register() < 0)
        return;
    own_states_move(on);
}
