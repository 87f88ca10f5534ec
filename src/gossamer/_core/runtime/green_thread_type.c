/* Green threads as Python sees them: how they are made and spawned, attributes, the method table.

   Methods and attributes that gevent's Greenlet has behave as its documentation says. */
#include "green_thread.h"
#include "../switch/arguments.h"

/* ---- making ---- */

static GreenletObject *
green_alloc(struct hub *hub, PyTypeObject *type)
{
    GreenletObject *object = greenlet_alloc(type);
    if (object != NULL) {
        object->fiber->is_green = true;
        object->fiber->parent = (GreenletObject *)Py_NewRef((PyObject *)hub->object);
    }
    return object;
}

GreenThreadObject *
green_thread_new(struct hub *hub, PyObject *function, PyObject *args)
{
    GreenletObject *object = green_alloc(hub, &GreenThread_Type);
    if (object != NULL) {
        object->fiber->run = Py_NewRef(function);
        object->fiber->args = Py_NewRef(args);
    }
    return (GreenThreadObject *)object;
}

static PyObject *
GreenThread_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    struct hub *hub = hub_get();
    GreenletObject *object = hub != NULL ? green_alloc(hub, type) : NULL;
    if (object == NULL)
        return NULL;
    struct fiber *fiber = object->fiber;
    if (hub->thread->tstate->context != NULL && (fiber->python.context = PyContext_CopyCurrent()) == NULL)
        Py_CLEAR(object);
    if (type != &GreenThread_Type && object != NULL) {
        /* all that one greenlet makes share its one weak reference */
        PyObject *spawner = PyWeakref_NewRef((PyObject *)hub->thread->current->object, NULL);
        ((GreenThreadObject *)object)->spawner = spawner;
        if (spawner == NULL)
            Py_CLEAR(object);
    }
    return (PyObject *)object;
}

/* Whoever follows green threads is told of each that starts. */
static int
start_with_hook(GreenThreadObject *object)
{
    if (green_thread_start(object) < 0)
        return -1;
    if (likely(core.spawn_hook == NULL) || !PyObject_TypeCheck(object, core.green_class))
        return 0;
    PyObject *result = PyObject_CallOneArg(core.spawn_hook, (PyObject *)object);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* The first argument, or the one named `run`, which is taken out of `named`; None: a subclass has a method for it.
   New reference, or NULL with TypeError set. */
static PyObject *
function_of(PyObject *args, PyObject *named)
{
    PyObject *run = Py_None;
    if (PyTuple_GET_SIZE(args) > 0)
        run = PyTuple_GET_ITEM(args, 0);
    else if (named != NULL && (run = PyDict_GetItemWithError(named, core.str_run)) == NULL)
        run = PyErr_Occurred() ? NULL : Py_None;
    if (run != NULL && run != Py_None && !PyCallable_Check(run))
        return PyErr_Format(PyExc_TypeError, "the function to run must be callable, not %s", Py_TYPE(run)->tp_name);
    Py_XINCREF(run);
    if (run != NULL && run != Py_None && PyTuple_GET_SIZE(args) == 0 && PyDict_DelItem(named, core.str_run) < 0)
        Py_CLEAR(run);
    return run;
}

/* Takes over what it is to call, each part of which may be NULL. Those before are dropped last: that may start it. */
static int
call_store(struct fiber *fiber, PyObject *run, PyObject *args, PyObject *kwargs)
{
    PyObject *unused[] = {run, args, kwargs};
    bool fresh = fiber->state == FRESH;
    if (fresh) {
        PyObject **places[] = {&fiber->run, &fiber->args, &fiber->kwargs};
        for (int i = 0; i < 3; i++) {
            PyObject *before = *places[i];
            *places[i] = unused[i];
            unused[i] = before;
        }
    }
    for (int i = 0; i < 3; i++)
        Py_XDECREF(unused[i]);
    if (!fresh)
        PyErr_SetString(PyExc_RuntimeError, "a green thread cannot be initialized again after its start");
    return fresh ? 0 : -1;
}

static int
GreenThread_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    if (count == 0 && (kwargs == NULL || PyDict_GET_SIZE(kwargs) == 0))
        return 0;
    PyObject *named = kwargs != NULL ? PyDict_Copy(kwargs) : NULL;
    if (kwargs != NULL && named == NULL)
        return -1;
    PyObject *run = function_of(args, named);
    PyObject *rest = run != NULL ? PyTuple_GetSlice(args, 1, count) : NULL;
    if (rest == NULL) {
        Py_XDECREF(run);
        Py_XDECREF(named);
        return -1;
    }
    if (run == Py_None)
        Py_CLEAR(run);
    return call_store(fiber, run, rest, named);
}

static PyObject *
GreenThread_start(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    if (object->starter != NULL)
        Py_RETURN_NONE;
    return start_with_hook(object) < 0 ? NULL : Py_NewRef(Py_None);
}

/* What the timer of start_later() calls. */
static PyObject *
start_now(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(((GreenThreadObject *)self)->starter);
    return green_thread_start((GreenThreadObject *)self) < 0 ? NULL : Py_NewRef(Py_None);
}

static CallbackObject *
starter_new(PyObject *self)
{
    static PyMethodDef definition = {"start", start_now, METH_NOARGS, NULL};
    PyObject *function = PyCFunction_New(&definition, self);
    CallbackObject *starter = function != NULL ? callback_new(function, core.empty_tuple) : NULL;
    Py_XDECREF(function);
    return starter;
}

/* The one argument of a method, given by its place or by its name. Borrowed. */
static PyObject *
only_argument(const char *method, const char *name, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    if (count + named == 1
        && (count == 1 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), name) == 0))
        return args[0];
    return PyErr_Format(PyExc_TypeError, "%s() takes one argument, %s", method, name);
}

static PyObject *
take_link(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *callback = only_argument("rawlink", "callback", args, count, names);
    return callback != NULL ? GreenThread_rawlink(self, callback) : NULL;
}

static PyObject *
take_link_back(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *callback = only_argument("unlink", "callback", args, count, names);
    return callback != NULL ? GreenThread_unlink(self, callback) : NULL;
}

static PyObject *
GreenThread_start_later(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *seconds = only_argument("start_later", "seconds", args, count, names);
    if (seconds == NULL)
        return NULL;
    GreenThreadObject *object = (GreenThreadObject *)self;
    struct fiber *fiber = object->greenlet.fiber;
    struct hub *hub = hub_get();
    int64_t when;
    if (hub == NULL || deadline_from(seconds, &when) < 0)
        return NULL;
    if (hub_of_fiber(fiber) != hub)
        return PyErr_Format(core.error, "start_later() is for green threads of the calling thread");
    if (fiber->state != FRESH || fiber->wait.state != NOT_WAITING || object->finished || object->starter != NULL)
        Py_RETURN_NONE;
    CallbackObject *starter = starter_new(self);
    if (starter == NULL)
        return NULL;
    Py_INCREF(starter);
    if (hub_call_at(hub, starter, when) < 0) {
        Py_DECREF(starter);
        return NULL;
    }
    object->starter = starter;
    if (core.spawn_hook == NULL || !PyObject_TypeCheck(object, core.green_class))
        Py_RETURN_NONE;
    return PyObject_CallOneArg(core.spawn_hook, self);
}

/* To run or running, and not ended: what gevent calls started. */
static bool
is_under_way(GreenThreadObject *object)
{
    const struct fiber *fiber = object->greenlet.fiber;
    return !object->finished
        && (fiber->state == STARTED || fiber->wait.state != NOT_WAITING || object->starter != NULL);
}

static int
GreenThread_bool(PyObject *self)
{
    return is_under_way((GreenThreadObject *)self);
}

static PyObject *
GreenThread_get_started(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_under_way((GreenThreadObject *)self));
}

static PyObject *
GreenThread_get_function(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *run = ((GreenletObject *)self)->fiber->run;
    return Py_NewRef(run != NULL ? run : Py_None);
}

static PyObject *
GreenThread_get_args(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *args = ((GreenletObject *)self)->fiber->args;
    return Py_NewRef(args != NULL ? args : core.empty_tuple);
}

/* The call that runs borrows what it was given from there. */
static int
refuse_started(const struct fiber *fiber, const char *name)
{
    if (fiber->state != STARTED)
        return 0;
    PyErr_Format(PyExc_AttributeError, "%s cannot be set after the start of the green thread", name);
    return -1;
}

static int
GreenThread_set_args(PyObject *self, PyObject *args, void *Py_UNUSED(closure))
{
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    if (refuse_started(fiber, "args") < 0)
        return -1;
    if (args == NULL || !PyTuple_Check(args)) {
        PyErr_SetString(PyExc_TypeError, "args must be a tuple");
        return -1;
    }
    Py_XSETREF(fiber->args, Py_NewRef(args));
    return 0;
}

static PyObject *
GreenThread_get_kwargs(PyObject *self, void *Py_UNUSED(closure))
{
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    if (fiber->kwargs == NULL)
        return PyDict_New();
    return fiber->state == STARTED ? PyDict_Copy(fiber->kwargs) : Py_NewRef(fiber->kwargs);
}

static int
GreenThread_set_kwargs(PyObject *self, PyObject *kwargs, void *Py_UNUSED(closure))
{
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    if (refuse_started(fiber, "kwargs") < 0)
        return -1;
    if (kwargs == NULL || !PyDict_Check(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "kwargs must be a dict");
        return -1;
    }
    Py_XSETREF(fiber->kwargs, Py_NewRef(kwargs));
    return 0;
}

static PyObject *
GreenThread_get_traceback(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *traceback = ((GreenThreadObject *)self)->traceback;
    return Py_NewRef(traceback != NULL ? traceback : Py_None);
}

static PyObject *
GreenThread_get_spawner(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *spawner = ((GreenThreadObject *)self)->spawner;
    return Py_NewRef(spawner != NULL ? spawner : Py_None);
}

static PyObject *
GreenThread_join(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    PyObject *timeout = count > 0 ? args[0] : Py_None;
    if (count == 0 && names != NULL && PyTuple_GET_SIZE(names) == 1
        && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") == 0)
        timeout = args[0];
    else if (count > 1 || names != NULL)
        return PyErr_Format(PyExc_TypeError, "join() takes one argument, timeout");
    int64_t deadline;
    if (deadline_from(timeout, &deadline) < 0)
        return NULL;
    if (object->finished)
        Py_RETURN_NONE;
    struct hub *hub = hub_get();
    if (hub == NULL)
        return NULL;
    /* a second look: making a hub runs Python code, and the other may have ended meanwhile */
    if (object->finished)
        Py_RETURN_NONE;
    return green_thread_join(hub, object, deadline) >= 0 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
GreenThread_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((GreenThreadObject *)self)->finished);
}

static PyObject *
GreenThread_successful(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((GreenThreadObject *)self)->value != NULL);
}

static PyObject *
GreenThread_get_value(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *value = ((GreenThreadObject *)self)->value;
    return Py_NewRef(value != NULL ? value : Py_None);
}

static PyObject *
GreenThread_get_exception(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *exception = ((GreenThreadObject *)self)->exception;
    return Py_NewRef(exception != NULL ? exception : Py_None);
}

static int
GreenThread_traverse(PyObject *self, visitproc visit, void *arg)
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    Py_VISIT(object->value);
    Py_VISIT(object->exception);
    Py_VISIT(object->links);
    Py_VISIT(object->traceback);
    int result = own_state_traverse(object, visit, arg);
    return result != 0 ? result : Greenlet_traverse(self, visit, arg);
}

static int
GreenThread_clear(PyObject *self)
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    if (object->greenlet.fiber != NULL && object->greenlet.fiber->state == STARTED)
        return 0;
    Py_CLEAR(object->value);
    Py_CLEAR(object->exception);
    Py_CLEAR(object->links);
    Py_CLEAR(object->traceback);
    Py_CLEAR(object->spawner);
    starter_drop(object);
    own_state_clear(object);
    return Greenlet_clear(self);
}

static void
GreenThread_dealloc(PyObject *self)
{
    if (!greenlet_may_go(self))
        return;
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, GreenThread_dealloc)
    own_state_forget((GreenThreadObject *)self);
    GreenThread_clear(self);
    Greenlet_dealloc(self);
    Py_TRASHCAN_END
}

static PyObject *
GreenThread_spawn(PyObject *type, PyObject *const *args, Py_ssize_t count, PyObject *names);

static PyMethodDef methods[] = {
    {"start", GreenThread_start, METH_NOARGS,
     "start($self, /)\n--\n\n"
     "Have it run when its turn comes. Does nothing when it has been started before, or is to be by start_later()."},
    {"join", (PyCFunction)(void (*)(void))GreenThread_join, METH_FASTCALL | METH_KEYWORDS,
     "join($self, /, timeout=None)\n--\n\n"
     "Wait until it has ended, or `timeout` seconds. Returns None either way: ask ready()."},
    {"ready", GreenThread_ready, METH_NOARGS, "ready($self, /)\n--\n\nWhether it has ended."},
    {"successful", GreenThread_successful, METH_NOARGS,
     "successful($self, /)\n--\n\nWhether it has ended without an error."},
    {"rawlink", (PyCFunction)(void (*)(void))take_link, METH_FASTCALL | METH_KEYWORDS,
     "rawlink($self, /, callback)\n--\n\n"
     "Have callback(self) called on the hub greenlet once it has ended. The callback must not block.\n\n"
     "Raises TypeError if it cannot be called."},
    {"unlink", (PyCFunction)(void (*)(void))take_link_back, METH_FASTCALL | METH_KEYWORDS,
     "unlink($self, /, callback)\n--\n\nTake back the link to `callback`. Does nothing when there is none."},
    {"has_links", GreenThread_has_links, METH_NOARGS,
     "has_links($self, /)\n--\n\nWhether there are links that have not been called."},
    {"unlink_all", GreenThread_unlink_all, METH_NOARGS, "unlink_all($self, /)\n--\n\nTake back all links."},
    {"start_later", (PyCFunction)(void (*)(void))GreenThread_start_later, METH_FASTCALL | METH_KEYWORDS,
     "start_later($self, /, seconds)\n--\n\n"
     "Have it run in so many seconds. Does nothing when it has been started before."},
    {"spawn", (PyCFunction)(void (*)(void))GreenThread_spawn, METH_CLASS | METH_FASTCALL | METH_KEYWORDS,
     "spawn($type, /, *args, **kwargs)\n--\n\n"
     "Have a function run in a green thread of its own when its turn comes, and return that.\n\n"
     "The arguments are those that the class is made with: the function, and what to call it with.\n"
     "Raises TypeError for what cannot be called. From gevent's documentation of gevent.spawn."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"value", GreenThread_get_value, NULL, "What its function returned; None before that.", NULL},
    {"exception", GreenThread_get_exception, NULL, "The error that ended it, or None.", NULL},
    {"started", GreenThread_get_started, NULL, "Whether it is to run or runs, and has not ended.", NULL},
    {"args", GreenThread_get_args, GreenThread_set_args, "What it runs with, to be set before its start; () once it has ended.",
     NULL},
    {"kwargs", GreenThread_get_kwargs, GreenThread_set_kwargs,
     "The keyword arguments that it runs with, to be set before its start; {} once it has ended.", NULL},
    {"_function", GreenThread_get_function, NULL, "What it runs; None once it has ended.", NULL},
    {"_traceback", GreenThread_get_traceback, NULL, "The traceback of `exception` as it was at the end.", NULL},
    {"spawning_greenlet", GreenThread_get_spawner, NULL,
     "Weak reference to the greenlet that made it; None for a plain GreenThread.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyNumberMethods number_methods = {.nb_bool = GreenThread_bool};

PyTypeObject GreenThread_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_as_number = &number_methods,
    .tp_name = "gossamer._core.GreenThread",
    .tp_doc = "GreenThread(run=None, *args, **kwargs)\n--\n\n"
              "A greenlet that the hub runs: run(*args, **kwargs), from start() on, when its turn comes.",
    .tp_basicsize = sizeof(GreenThreadObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_base = &Greenlet_Type,
    .tp_new = GreenThread_new,
    .tp_init = GreenThread_init,
    .tp_dealloc = GreenThread_dealloc,
    .tp_finalize = Greenlet_finalize,
    .tp_traverse = GreenThread_traverse,
    .tp_clear = GreenThread_clear,
    .tp_methods = methods,
    .tp_getset = attributes,
};

/* ---- spawn ---- */

static PyObject *
spawn_directly(PyTypeObject *type, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (count == 0)
        return PyErr_Format(PyExc_TypeError, "spawn() needs the function to run");
    if (!PyCallable_Check(args[0]))
        return PyErr_Format(PyExc_TypeError, "spawn() needs something callable, not %s", Py_TYPE(args[0])->tp_name);
    PyObject *self = GreenThread_new(type, NULL, NULL);
    if (self == NULL)
        return NULL;
    struct fiber *fiber = ((GreenletObject *)self)->fiber;
    fiber->run = Py_NewRef(args[0]);
    if (count > 1)
        fiber->args = tuple_from(args + 1, count - 1);
    if (names != NULL && PyTuple_GET_SIZE(names) > 0)
        fiber->kwargs = keywords_from(args + count, names);
    bool failed = (count > 1 && fiber->args == NULL) || (names != NULL && PyErr_Occurred());
    if (failed || start_with_hook((GreenThreadObject *)self) < 0)
        Py_CLEAR(self);
    return self;
}

PyObject *
core_spawn(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return spawn_directly(&GreenThread_Type, args, count, names);
}

/* Subclasses may have their own __init__ and start. */
static PyObject *
GreenThread_spawn(PyObject *type, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (likely((PyTypeObject *)type == core.green_class && count > 0))
        return spawn_directly(core.green_class, args, count, names);
    PyObject *self = PyObject_Vectorcall(type, args, (size_t)count, names);
    PyObject *started = call_named(self, "start");
    if (started == NULL)
        Py_CLEAR(self);
    Py_XDECREF(started);
    return self;
}

/* ---- joining a crowd ---- */

static bool
are_green_threads(PyObject *crowd)
{
    PyTypeObject *one = &GreenThread_Type;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(crowd); i++) {
        PyTypeObject *type = Py_TYPE(PyList_GET_ITEM(crowd, i));
        if (type != one && !PyType_IsSubtype(type, &GreenThread_Type))
            return false;
        one = type;                  /* most are of the same one */
    }
    return true;
}

/* Subclasses may have their own join. Returns -1 with an exception set. */
static int
join_one(PyObject *self)
{
    GreenThreadObject *object = (GreenThreadObject *)self;
    if (!Py_IS_TYPE(self, core.green_class) && !Py_IS_TYPE(self, &GreenThread_Type)) {
        PyObject *result = call_named(self, "join");
        Py_XDECREF(result);
        return result != NULL ? 0 : -1;
    }
    if (object->finished)
        return 0;
    struct hub *hub = hub_get();
    return hub != NULL && (object->finished || green_thread_join(hub, object, INT64_MAX) >= 0) ? 0 : -1;
}

PyObject *
core_join_all(PyObject *Py_UNUSED(module), PyObject *crowd)
{
    enum { AHEAD = 8 };
    if (!PyList_CheckExact(crowd))
        return PyErr_Format(PyExc_TypeError, "join_all() needs a list, not %s", Py_TYPE(crowd)->tp_name);
    if (!are_green_threads(crowd))
        Py_RETURN_FALSE;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(crowd); i++) {
        if (i + AHEAD < PyList_GET_SIZE(crowd))
            __builtin_prefetch(PyList_GET_ITEM(crowd, i + AHEAD));
        PyObject *object = Py_NewRef(PyList_GET_ITEM(crowd, i));
        int joined = join_one(object);
        Py_DECREF(object);
        if (joined < 0)
            return NULL;
    }
    Py_RETURN_TRUE;
}
