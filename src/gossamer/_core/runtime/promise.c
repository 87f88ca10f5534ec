/* Promises of native threads: something goes on outside of every hub, and whoever waits for it will be unparked.

   - While a promise is outstanding no hub takes itself for deadlocked: the call that goes on may unpark anybody. So
     it counts from its making, not from when a thread takes the call up.
   - The threads of a pool otherwise unpark nobody: they count as threads that are not there. They say so themselves
     (pool_thread_begin), and their number is looked at beside that of all threads.
   - A promise is kept from any thread. Between its being looked at and the wait for it no other thread can run, so
     that no keeping is missed.
   - Its callback runs on the hub greenlet of the thread that made it, if that still has a hub. The thread is
     recognised by our own number of it: its address may be another's by then, and the number of its thread state
     belongs, where asyncio goes by it, to the green thread that runs (own_state.h).
   - In a forked child the pool's threads are gone, and whoever has promised in their name has to see to it. */
#include "hub.h"

#include <stddef.h>

typedef struct {
    PyObject_HEAD
    PyObject *about, *callback;      /* callback: a callable, or NULL */
    struct wait_queue queue;
    uint64_t maker;                  /* number of a thread that may have ended since */
    bool kept;
} PromiseObject;

static __thread bool is_pool_thread;

bool
threads_may_unpark(Py_ssize_t others)
{
    return core.promises > 0 || others > core.pool_threads - (is_pool_thread ? 1 : 0);
}

void
promises_after_fork(void)
{
    core.pool_threads = is_pool_thread ? 1 : 0;
}

/* ---- keeping ---- */

static struct hub *
maker_hub(const PromiseObject *promise)
{
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next)
        if (thread->number == promise->maker)
            return thread->hub;
    return NULL;
}

/* Returns -1 with MemoryError set. */
static int
callback_send(PromiseObject *promise)
{
    PyObject *function = promise->callback;
    struct hub *hub = function != NULL ? maker_hub(promise) : NULL;
    CallbackObject *callback = hub != NULL ? callback_new(function, core.empty_tuple) : NULL;
    promise->callback = NULL;
    int sent = callback != NULL ? hub_call_soon(hub, callback) : hub != NULL ? -1 : 0;
    Py_XDECREF(function);
    return sent;
}

static int
keep(PromiseObject *promise)
{
    if (promise->kept)
        return 0;
    promise->kept = true;
    core.promises--;
    while (promise->queue.first != NULL)
        hub_unpark(promise->queue.first, UNPARKED);
    return callback_send(promise);
}

/* ---- the type ---- */

static PyObject *
Promise_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"about", "callback", NULL};
    PyObject *about = Py_None, *callback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:Promise", names, &about, &callback))
        return NULL;
    struct hub *hub = callback != Py_None ? hub_get() : NULL;
    if (callback != Py_None && hub == NULL)
        return NULL;
    PromiseObject *self = (PromiseObject *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->about = Py_NewRef(about);
    if (hub != NULL) {
        self->callback = Py_NewRef(callback);
        self->maker = hub->thread->number;
    }
    core.promises++;
    return (PyObject *)self;
}

static int
Promise_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((PromiseObject *)self)->about);
    Py_VISIT(((PromiseObject *)self)->callback);
    return 0;
}

static int
Promise_clear(PyObject *self)
{
    Py_CLEAR(((PromiseObject *)self)->callback);
    return 0;
}

/* Nobody waits: a waiter holds a reference. */
static void
Promise_dealloc(PyObject *self)
{
    PromiseObject *promise = (PromiseObject *)self;
    PyObject_GC_UnTrack(self);
    if (!promise->kept)
        core.promises--;
    while (promise->queue.first != NULL)
        wait_queue_remove(promise->queue.first);
    Py_XDECREF(promise->callback);
    Py_XDECREF(promise->about);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
Promise_keep(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return keep((PromiseObject *)self) == 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
Promise_wait(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PromiseObject *promise = (PromiseObject *)self;
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:wait", names, &timeout)
        || deadline_from(timeout, &deadline) < 0)
        return NULL;
    struct hub *hub = hub_get();
    if (hub == NULL)
        return NULL;
    if (promise->kept)
        Py_RETURN_TRUE;
    PyObject *about = promise->about != Py_None ? promise->about : NULL;
    if (hub_prepare(hub, FOR_QUEUE, (uintptr_t)about) < 0)
        return NULL;
    wait_queue_append(&promise->queue, hub->thread->current);
    if (hub_prepare_deadline(hub, deadline) < 0)
        return NULL;
    int outcome = hub_park(hub);
    return outcome < 0 ? NULL : PyBool_FromLong(outcome == UNPARKED);
}

static PyObject *
Promise_get_kept(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((PromiseObject *)self)->kept);
}

static PyMethodDef promise_methods[] = {
    {"keep", Promise_keep, METH_NOARGS,
     "keep($self, /)\n--\n\nEnd all waits for it, from any thread, and have its callback called. Once is enough."},
    {"wait", (PyCFunction)(void (*)(void))Promise_wait, METH_VARARGS | METH_KEYWORDS,
     "wait($self, /, timeout=None)\n--\n\nWait until it is kept: True; or `timeout` seconds: False."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef promise_attributes[] = {
    {"kept", Promise_get_kept, NULL, "Whether keep() has been called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject Promise_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "gossamer._core.Promise",
    .tp_doc = "Promise(about=None, callback=None)\n--\n\n"
              "Something goes on in a native thread, which keep()s it at its end.\n\n"
              "Until then there is no LoopExit. `about` names it in reports; `callback` is called, without arguments,\n"
              "on the hub greenlet of the thread that made the promise.",
    .tp_basicsize = sizeof(PromiseObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = Promise_new,
    .tp_dealloc = Promise_dealloc,
    .tp_traverse = Promise_traverse,
    .tp_clear = Promise_clear,
    .tp_methods = promise_methods,
    .tp_getset = promise_attributes,
};

/* ---- threads of a pool ---- */

static PyObject *
core_pool_thread_begin(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (!is_pool_thread) {
        is_pool_thread = true;
        core.pool_threads++;
    }
    Py_RETURN_NONE;
}

static PyObject *
core_pool_thread_end(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (is_pool_thread) {
        is_pool_thread = false;
        core.pool_threads--;
    }
    Py_RETURN_NONE;
}

static PyObject *
core_thread_has_hub(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(current_thread != NULL && current_thread->hub != NULL);
}

static PyMethodDef functions[] = {
    {"pool_thread_begin", core_pool_thread_begin, METH_NOARGS,
     "pool_thread_begin()\n--\n\n"
     "From now on the calling thread unparks nobody but by a Promise: it keeps no hub from raising LoopExit."},
    {"pool_thread_end", core_pool_thread_end, METH_NOARGS, "pool_thread_end()\n--\n\nThe reverse."},
    {"thread_has_hub", core_thread_has_hub, METH_NOARGS,
     "thread_has_hub()\n--\n\nWhether the calling thread has a hub already; get_hub() would make one."},
    {NULL, NULL, 0, NULL},
};

int
promises_ready(PyObject *module)
{
    return PyModule_AddFunctions(module, functions) < 0 ? -1 : PyModule_AddType(module, &Promise_Type);
}
