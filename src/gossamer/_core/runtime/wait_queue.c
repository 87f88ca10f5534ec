/* A wait queue as an object, for Python code that makes greenlets wait: see wait.h. */
#include "hub.h"

typedef struct {
    PyObject_HEAD
    struct wait_queue queue;
    PyObject *about;
} WaitQueueObject;

static PyObject *
WaitQueue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"about", NULL};
    PyObject *about = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:WaitQueue", names, &about))
        return NULL;
    WaitQueueObject *self = (WaitQueueObject *)type->tp_alloc(type, 0);
    if (self != NULL && about != Py_None)
        self->about = Py_XNewRef(about);
    return (PyObject *)self;
}

static int
WaitQueue_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((WaitQueueObject *)self)->about);
    return 0;
}

static int
WaitQueue_clear(PyObject *self)
{
    Py_CLEAR(((WaitQueueObject *)self)->about);
    return 0;
}

static void
WaitQueue_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    struct wait_queue *queue = &((WaitQueueObject *)self)->queue;
    while (queue->first != NULL)
        wait_queue_remove(queue->first);
    WaitQueue_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
WaitQueue_park(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    WaitQueueObject *object = (WaitQueueObject *)self;
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:park", names, &timeout)
        || deadline_from(timeout, &deadline) < 0)
        return NULL;
    struct hub *hub = hub_get();
    if (hub == NULL || hub_prepare(hub, FOR_QUEUE, (uintptr_t)object->about) < 0)
        return NULL;
    wait_queue_append(&object->queue, hub->thread->current);
    if (hub_prepare_deadline(hub, deadline) < 0)
        return NULL;
    int outcome = hub_park(hub);
    return outcome < 0 ? NULL : PyBool_FromLong(outcome == UNPARKED);
}

static PyObject *
WaitQueue_unpark(PyObject *self, PyObject *args)
{
    struct wait_queue *queue = &((WaitQueueObject *)self)->queue;
    Py_ssize_t most = 1, count = 0;
    if (!PyArg_ParseTuple(args, "|n:unpark", &most))
        return NULL;
    for (; count < most && queue->first != NULL; count++)
        hub_unpark(queue->first, UNPARKED);
    return PyLong_FromSsize_t(count);
}

static Py_ssize_t
WaitQueue_length(PyObject *self)
{
    return ((WaitQueueObject *)self)->queue.length;
}

static PyMethodDef wait_queue_methods[] = {
    {"park", (PyCFunction)(void (*)(void))WaitQueue_park, METH_VARARGS | METH_KEYWORDS,
     "park($self, /, timeout=None)\n--\n\n"
     "Wait until unparked: True; or `timeout` seconds: False."},
    {"unpark", WaitQueue_unpark, METH_VARARGS,
     "unpark($self, count=1, /)\n--\n\n"
     "End the waits of the first `count` greenlets, from any thread. Returns how many there were."},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods wait_queue_sequence = {.sq_length = WaitQueue_length};

PyTypeObject WaitQueue_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "gossamer._core.WaitQueue",
    .tp_doc = "WaitQueue(about=None)\n--\n\n"
              "Greenlets that wait for the same thing, first come first served. `about` names it in reports.",
    .tp_basicsize = sizeof(WaitQueueObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = WaitQueue_new,
    .tp_dealloc = WaitQueue_dealloc,
    .tp_traverse = WaitQueue_traverse,
    .tp_clear = WaitQueue_clear,
    .tp_methods = wait_queue_methods,
    .tp_as_sequence = &wait_queue_sequence,
};
