/* The table of functions that the package's other compiled modules call: see interface.h. */
#define GOSSAMER_INTERFACE_PROVIDER
#include "hub.h"
#include "interface.h"

static PyObject *
interface_current(void)
{
    struct thread *thread = thread_get();
    return thread != NULL ? (PyObject *)thread->current->object : NULL;
}

static PyObject *
interface_hub(void)
{
    struct hub *hub = hub_get();
    return hub != NULL ? (PyObject *)hub->object : NULL;
}

static int
interface_on_hub(void)
{
    struct thread *thread = current_thread;
    return thread != NULL && thread->hub != NULL && thread->current == thread->hub->home;
}

static int
interface_park(struct wait_queue *queue, PyObject *subject, int64_t deadline, int ahead)
{
    struct hub *hub = hub_get();
    if (hub == NULL || hub_prepare(hub, FOR_QUEUE, (uintptr_t)subject) < 0)
        return -1;
    if (ahead)
        wait_queue_prepend(queue, hub->thread->current);
    else
        wait_queue_append(queue, hub->thread->current);
    if (deadline != NO_DEADLINE && hub_prepare_deadline(hub, deadline) < 0)
        return -1;
    return hub_park(hub);
}

static int
interface_unpark_first(struct wait_queue *queue)
{
    if (queue->first == NULL)
        return 0;
    hub_unpark(queue->first, UNPARKED);
    return 1;
}

static void
interface_abandon(struct wait_queue *queue)
{
    while (queue->first != NULL)
        wait_queue_remove(queue->first);
}

static int
interface_pause(double seconds)
{
    struct hub *hub = hub_get();
    return hub != NULL ? hub_pause(hub, seconds) : -1;
}

static int
interface_call_soon(PyObject *hub_object, PyObject *function, PyObject *args)
{
    struct hub *hub = hub_of(hub_object);
    CallbackObject *callback = hub != NULL ? callback_new(function, args) : NULL;
    return callback != NULL ? hub_call_soon(hub, callback) : -1;
}

static PyObject *
interface_callback(PyObject *hub_object, PyObject *function, PyObject *args)
{
    struct thread *thread = current_thread;
    bool ours = thread != NULL && thread->hub != NULL && (PyObject *)thread->hub->object == hub_object;
    struct hub *hub = ours ? thread->hub : hub_of(hub_object);
    CallbackObject *callback = hub != NULL ? callback_new(function, args) : NULL;
    if (callback == NULL)
        return NULL;
    Py_INCREF(callback);
    if (hub_call_soon(hub, callback) < 0)
        Py_CLEAR(callback);
    return (PyObject *)callback;
}

static int
interface_interrupt(PyObject *greenlet, PyObject *exception)
{
    return hub_interrupt(((GreenletObject *)greenlet)->fiber, exception);
}

static int
interface_wait_descriptor(int descriptor, int for_writing, int64_t deadline)
{
    struct hub *hub = hub_get();
    return hub != NULL ? hub_wait_descriptor(hub, descriptor, for_writing ? WRITING : READING, deadline) : -1;
}

static const struct runtime_interface table = {
    .size = sizeof table,
    .current = interface_current,
    .hub = interface_hub,
    .on_hub = interface_on_hub,
    .deadline_from = deadline_from,
    .park = interface_park,
    .unpark_first = interface_unpark_first,
    .abandon = interface_abandon,
    .pause = interface_pause,
    .call_soon = interface_call_soon,
    .interrupt = interface_interrupt,
    .wait_descriptor = interface_wait_descriptor,
    .callback = interface_callback,
    .watch_time = watch_time,
    .watch_descriptor = watch_descriptor,
    .watch_stand = watch_stand,
    .watch_tell = watch_tell,
    .watch_stop = watch_stop,
    .watch_refer = watch_refer,
    .time_after = deadline_after,
};

int
interface_add(PyObject *module)
{
    PyObject *capsule = PyCapsule_New((void *)&table, RUNTIME_CAPSULE, NULL);
    int status = capsule != NULL ? PyModule_AddObjectRef(module, "_runtime", capsule) : -1;
    Py_XDECREF(capsule);
    return status;
}
