/* _thread._ThreadHandle and _thread._shutdown: joining, on 3.13 and later.

   Facts and rules:
   - A handle is a face of something inside, which says whether its thread is done and lets native threads wait
     for that. The handle that start_joinable_thread() is given becomes a green thread's by getting the
     inside of another, made for the green thread's number. From then on `ident`, `is_done`, `_set_done`, repr()
     and the join() of native threads are the originals and tell the truth.
   - A green thread that joins another green thread waits for that one's end.
   - The end of a native thread passes no Python code that we could hook: its handle is marked by C after its
     thread state is gone. So a helper thread of the operating system joins it, and unparks whoever waits.
     There is at most one for each handle that is waited for; it ends with the thread that it joins. Polling
     would be late or busy; a helper is neither.
   - A fork leaves the helpers behind. In the child all native threads are done. The interpreter marks all handles so
     but that of the OS thread, which is whose green threads live on: if one of these has forked, it is done as well. */
#include "threads.h"

#if HAS_THREAD_HANDLES

#include <pythread.h>
#include <stdlib.h>

/* Somebody of the OS who makes a call that blocks, and wakes whom it concerns afterwards. */
struct watcher {
    PyObject *function, *argument;       /* argument NULL: none */
    struct wait_queue waiting;
    struct watcher *next;
};

static struct watcher *watchers;

/* ---- handles ---- */

static PyObject *
thread_module_call(const char *name, PyObject *argument)
{
    PyObject *module = PyImport_ImportModule("_thread");
    PyObject *function = attribute_named(module, name);
    PyObject *result = NULL;
    if (function != NULL)
        result = argument != NULL ? PyObject_CallOneArg(function, argument) : PyObject_CallNoArgs(function);
    Py_XDECREF(function);
    Py_XDECREF(module);
    return result;
}

static PyObject *
handle_new(void)
{
    return thread_module_call("_ThreadHandle", NULL);
}

static bool
handle_check(PyObject *object)
{
    return Py_IS_TYPE(object, PyDescr_TYPE(thread_points[HANDLE_JOIN].original));
}

/* Whether it belongs to a thread already. Returns -1 with an exception set. */
static int
handle_is_started(PyObject *handle)
{
    PyObject *identity = attribute_named(handle, "ident");
    int result = identity != NULL ? PyObject_IsTrue(identity) : -1;
    Py_XDECREF(identity);
    return result;
}

/* Makes it the handle of a running thread with that identity. Returns -1 with an exception set. */
static int
handle_adopt(PyObject *handle, PyObject *identity)
{
    PyObject *other = thread_module_call("_make_thread_handle", identity);
    if (other == NULL)
        return -1;
    thread_handles_exchange(handle, other);
    Py_DECREF(other);
    return 0;
}

static void
handle_set_done(PyObject *handle)
{
    PyObject *result = call_named(handle, "_set_done");
    if (result == NULL)
        PyErr_WriteUnraisable(handle);
    Py_XDECREF(result);
}

/* Returns -1 with an exception set. */
static int
handle_is_done(PyObject *handle)
{
    PyObject *done = call_named(handle, "is_done");
    int result = done != NULL ? PyObject_IsTrue(done) : -1;
    Py_XDECREF(done);
    return result;
}

static bool
handle_has_number(PyObject *handle, unsigned long number)
{
    PyObject *identity = attribute_named(handle, "ident");
    bool same = identity != NULL && PyLong_AsUnsignedLong(identity) == number;
    Py_XDECREF(identity);
    if (!same)
        PyErr_Clear();               /* without memory for the number, whoever needs it asks again */
    return same;
}

/* Whether a handle can be given another's inside. */
bool
handle_probe(void)
{
    PyObject *handle = handle_new();
    bool fits = handle != NULL && Py_TYPE(handle)->tp_basicsize == sizeof(struct thread_handle_layout)
        && handle_has_number(handle, 0);
    PyObject *number = fits ? PyLong_FromLong(4711) : NULL;
    fits = number != NULL && handle_adopt(handle, number) == 0 && handle_has_number(handle, 4711)
        && handle_is_done(handle) == 0;
    if (fits)
        handle_set_done(handle);
    fits = fits && handle_is_done(handle) == 1;
    Py_XDECREF(number);
    Py_XDECREF(handle);
    return fits;
}

/* ---- helpers ---- */

static void
watcher_end(struct watcher *watcher)
{
    struct watcher **place = &watchers;
    while (*place != watcher)
        place = &(*place)->next;
    *place = watcher->next;
    while (watcher->waiting.first != NULL)
        hub_unpark(watcher->waiting.first, UNPARKED);
    Py_DECREF(watcher->function);
    Py_XDECREF(watcher->argument);
    free(watcher);
}

static void
watcher_run(void *raw)
{
    struct watcher *watcher = raw;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = watcher->argument != NULL ? PyObject_CallOneArg(watcher->function, watcher->argument)
                                                 : PyObject_CallNoArgs(watcher->function);
    if (result == NULL)
        PyErr_Clear();                   /* whoever waits asks again, and is told */
    Py_XDECREF(result);
    watcher_end(watcher);
    PyGILState_Release(state);
}

/* The helper that makes this call; a new one if there is none. NULL with an exception set. */
static struct watcher *
watcher_for(PyObject *function, PyObject *argument)
{
    for (struct watcher *watcher = watchers; watcher != NULL; watcher = watcher->next)
        if (watcher->function == function && watcher->argument == argument)
            return watcher;
    struct watcher *watcher = calloc(1, sizeof *watcher);
    if (watcher == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    watcher->function = Py_NewRef(function);
    watcher->argument = Py_XNewRef(argument);
    watcher->next = watchers;
    watchers = watcher;
    if (PyThread_start_new_thread(watcher_run, watcher) == PYTHREAD_INVALID_THREAD_ID) {
        watcher_end(watcher);
        PyErr_SetString(PyExc_RuntimeError, "can't start new thread");
        return NULL;
    }
    return watcher;
}

/* Parks until a helper has made the call. Outcome, or -1 with an exception set. */
static int
watch(struct hub *hub, PyObject *function, PyObject *argument, int64_t deadline)
{
    struct watcher *watcher = watcher_for(function, argument);
    if (watcher == NULL || hub_prepare(hub, FOR_QUEUE, (uintptr_t)argument) < 0)
        return -1;
    wait_queue_append(&watcher->waiting, hub->thread->current);
    if (hub_prepare_deadline(hub, deadline) < 0)
        return -1;
    hub->foreign++;
    int outcome = hub_park(hub);
    hub->foreign--;
    return outcome;
}

static void
watchers_after_fork(void)
{
    while (watchers != NULL)
        watcher_end(watchers);
}

/* Marks the handles of the OS thread as done: a green thread has forked, which is the only one alive for threading. */
static void
thread_handles_after_fork(void)
{
    PyObject *dangling = threading_attribute("_dangling");
    PyObject *threads = dangling != NULL ? PySequence_List(dangling) : NULL;
    for (Py_ssize_t i = 0; threads != NULL && i < PyList_GET_SIZE(threads); i++) {
        PyObject *handle = attribute_named(PyList_GET_ITEM(threads, i), THREAD_HANDLE_NAME);
        if (handle != NULL && handle_check(handle) && handle_has_number(handle, PyThread_get_thread_ident()))
            handle_set_done(handle);
        Py_XDECREF(handle);
        PyErr_Clear();
    }
    Py_XDECREF(threads);
    Py_XDECREF(dangling);
    PyErr_Clear();
}

/* ---- the handles of green threads ---- */

static PyObject *
start_joinable(struct hub *hub, PyObject *function, PyObject *given, int daemon)
{
    if (PySys_Audit("_thread.start_joinable_thread", "OiO", function, daemon, given) < 0)
        return NULL;
    PyObject *handle = given != Py_None ? Py_NewRef(given) : handle_new();
    if (handle == NULL)
        return NULL;
    PyObject *identity = start_green(hub, function, core.empty_tuple, NULL, handle, daemon);
    Py_XDECREF(identity);
    if (identity == NULL)
        Py_CLEAR(handle);
    return handle;
}

PyObject *
point_start_joinable_thread(PyObject *Py_UNUSED(self), PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"function", "handle", "daemon", NULL};
    const struct point *point = &thread_points[START_JOINABLE_THREAD];
    PyObject *function, *handle = Py_None;
    int daemon = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|Op:start_joinable_thread", names, &function, &handle, &daemon))
        return NULL;
    bool fits = PyCallable_Check(function) && (handle == Py_None || handle_check(handle));
    int taken = fits && handle != Py_None ? handle_is_started(handle) : 0;
    if (taken < 0)
        return NULL;
    struct hub *hub = fits && !taken ? hub_to_start_in(point) : NULL;
    return hub != NULL ? start_joinable(hub, function, handle, daemon) : point_original_call(point, args, kwargs);
}

int
joining_begin(const struct started_thread *started, PyObject *identity)
{
    return started->handle != NULL ? handle_adopt(started->handle, identity) : 0;
}

void
joining_end(const struct started_thread *started)
{
    if (started->handle != NULL)
        handle_set_done(started->handle);
}

/* The interpreter has marked all handles but the OS thread's as done. */
void
joining_after_fork(const struct started_thread *current)
{
    watchers_after_fork();
    PyObject *identity = current != NULL && current->handle != NULL ? started_identity(current) : NULL;
    if (identity != NULL && handle_adopt(current->handle, identity) < 0)
        PyErr_WriteUnraisable(current->handle);
    Py_XDECREF(identity);
    if (current != NULL)
        thread_handles_after_fork();
}

/* ---- joining ---- */

/* Returns false for what the original has to judge. A negative time means none, there as here. */
static bool
deadline_of(PyObject *const *args, Py_ssize_t count, int64_t *deadline)
{
    *deadline = INT64_MAX;
    if (count == 0 || (count == 1 && args[0] == Py_None))
        return true;
    if (count > 1)
        return false;
    double seconds = seconds_from(args[0]);
    if (seconds >= 0)
        *deadline = deadline_after(seconds);
    return seconds < 9e9 && seconds > -9e9;
}

/* Returns an outcome, or -1 with an exception set. */
static int
join_started(struct hub *hub, struct started_thread *started, int64_t deadline)
{
    GreenThreadObject *green = started->green;
    if (green == green_thread_of(hub->thread->current)) {
        PyErr_SetString(PyExc_RuntimeError, "Cannot join current thread");
        return -1;
    }
    int outcome = UNPARKED;
    Py_INCREF(green);
    while (!green->finished && outcome == UNPARKED)
        outcome = green_thread_join(hub, green, deadline);
    Py_DECREF(green);
    return outcome;
}

/* Whether a native thread, its main greenlet at that, waits for itself. */
static bool
joins_itself(struct hub *hub, PyObject *handle)
{
    return green_thread_of(hub->thread->current) == NULL && handle_has_number(handle, PyThread_get_thread_ident());
}

static int
join_any(struct hub *hub, PyObject *handle, int64_t deadline)
{
    PyObject *identity = attribute_named(handle, "ident");
    if (identity == NULL)
        return -1;
    struct started_thread *started = started_with(identity);
    Py_DECREF(identity);
    if (started != NULL && started->handle == handle)
        return join_started(hub, started, deadline);
    return watch(hub, thread_points[HANDLE_JOIN].original, handle, deadline);
}

PyObject *
point_handle_join(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    const struct point *point = &thread_points[HANDLE_JOIN];
    struct hub *hub = point_hub(point);
    int64_t deadline;
    if (hub == NULL || !deadline_of(args, count, &deadline) || joins_itself(hub, self))
        return point_original(point, self, args, count, NULL);
    int done = handle_is_done(self), is_started = handle_is_started(self);
    if (done < 0 || is_started < 0)
        return NULL;
    if (done || !is_started)
        return point_original(point, self, args, count, NULL);
    return join_any(hub, self, deadline) < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- the end of the interpreter ---- */

static struct started_thread *
first_to_wait_for(void)
{
    const struct started_thread *current = started_current();
    struct started_thread *started = started_threads;
    while (started != NULL && (started->daemon || started == current))
        started = started->next;
    return started;
}

/* Waits for green threads here and, with a helper, for native ones: these may need one another. */
static int
wait_for_all(struct hub *hub, PyObject *original)
{
    for (bool native_done = false;;) {
        struct started_thread *started = first_to_wait_for();
        if (started != NULL) {
            if (join_started(hub, started, INT64_MAX) < 0)
                return -1;
            continue;
        }
        Py_ssize_t native = native_done ? 0 : native_thread_count();
        if (native <= 0)
            return (int)native;
        if (watch(hub, original, NULL, INT64_MAX) < 0)
            return -1;
        native_done = true;
    }
}

PyObject *
point_shutdown(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const struct point *point = &thread_points[SHUTDOWN];
    struct hub *hub = point_hub(point);
    if (hub != NULL && hub->thread->current != hub->home && wait_for_all(hub, point->original) < 0) {
        PyErr_WriteUnraisable(NULL);     /* as the original: whoever interrupts waits no longer */
        Py_RETURN_NONE;
    }
    return point_original_noargs(point, self);
}

#endif
