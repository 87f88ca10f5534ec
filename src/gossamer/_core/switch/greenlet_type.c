/* The `greenlet` type as Python sees it: construction, attributes, the method table.

   The documented behaviour is greenlet's (its documentation, "greenlet API"). */
#include "arguments.h"

#include <stddef.h>

static struct fiber *
fiber_of(PyObject *self)
{
    return ((GreenletObject *)self)->fiber;
}

/* ---- construction ---- */

/* object.__new__ is the one that knows how to name the methods an abstract class lacks. */
static int
refuse_abstract(PyTypeObject *type)
{
    if (!(type->tp_flags & Py_TPFLAGS_IS_ABSTRACT))
        return 0;
    PyObject *object = PyBaseObject_Type.tp_new(type, core.empty_tuple, NULL);
    Py_XDECREF(object);
    return object == NULL ? -1 : 0;
}

static PyObject *
Greenlet_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    struct thread *thread = thread_get();
    if (thread == NULL || refuse_abstract(type) < 0)
        return NULL;
    if (thread->doomed != NULL)
        thread_end_doomed(thread);
    GreenletObject *object = greenlet_alloc(type);
    if (object != NULL)
        object->fiber->parent = (GreenletObject *)Py_NewRef((PyObject *)thread->current->object);
    return (PyObject *)object;
}

static int
greenlet_set_run(GreenletObject *greenlet, PyObject *run)
{
    struct fiber *fiber = greenlet->fiber;
    if (fiber->state != FRESH) {
        PyErr_SetString(PyExc_AttributeError, "run cannot be set after the start of the greenlet");
        return -1;
    }
    PyObject *before = fiber->run;
    fiber->run = Py_XNewRef(run);
    Py_XDECREF(before);
    return 0;
}

/* Whether `ancestor` is `greenlet` or above it. */
static bool
is_in_lineage(const GreenletObject *greenlet, const GreenletObject *ancestor)
{
    for (; greenlet != NULL; greenlet = greenlet->fiber->parent)
        if (greenlet == ancestor)
            return true;
    return false;
}

/* `is_new`: it is no ancestor of any other. */
static int
parent_store(GreenletObject *greenlet, PyObject *value, bool is_new)
{
    struct fiber *fiber = greenlet->fiber;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "can't delete attribute: parent of a greenlet");
        return -1;
    }
    if (!Greenlet_Check(value)) {
        PyErr_Format(PyExc_TypeError, "parent must be a greenlet, not %s", Py_TYPE(value)->tp_name);
        return -1;
    }
    if (fiber->is_main) {
        PyErr_SetString(PyExc_AttributeError, "cannot set the parent of a main greenlet");
        return -1;
    }
    GreenletObject *parent = (GreenletObject *)value;
    if (!is_new && is_in_lineage(parent, greenlet)) {
        PyErr_SetString(PyExc_ValueError, "cyclic parent chain");
        return -1;
    }
    /* one that has not started may still be given another: its thread is asked for at the switch */
    if (fiber->state == STARTED && fiber_thread(parent->fiber) != fiber->thread) {
        PyErr_SetString(PyExc_ValueError, "parent cannot be on a different thread");
        return -1;
    }
    GreenletObject *before = fiber->parent;
    fiber->parent = (GreenletObject *)Py_NewRef(value);
    Py_XDECREF(before);
    return 0;
}

int
greenlet_set_parent(GreenletObject *greenlet, PyObject *value)
{
    return parent_store(greenlet, value, false);
}

static int
initialize(GreenletObject *greenlet, PyObject *run, PyObject *parent, bool is_new)
{
    if (run != NULL && greenlet_set_run(greenlet, run) < 0)
        return -1;
    if (parent != NULL && parent != Py_None)
        return parent_store(greenlet, parent, is_new);
    return 0;
}

static int
Greenlet_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"run", "parent", NULL};
    PyObject *run = NULL, *parent = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:greenlet", names, &run, &parent))
        return -1;
    return initialize((GreenletObject *)self, run, parent, false);
}

PyObject *
greenlet_new(PyObject *run, PyObject *parent)
{
    PyObject *self = Greenlet_new(&Greenlet_Type, NULL, NULL);
    if (self != NULL && initialize((GreenletObject *)self, run, parent, true) < 0)
        Py_CLEAR(self);
    return self;
}

/* greenlet(run) without an argument tuple; subclasses go through type.__call__ as ever. */
static PyObject *
Greenlet_vectorcall(PyObject *type, PyObject *const *args, size_t flags, PyObject *names)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (names == NULL && count <= 2)
        return greenlet_new(count > 0 ? args[0] : NULL, count > 1 ? args[1] : NULL);
    PyObject *self = Greenlet_new((PyTypeObject *)type, NULL, NULL);
    if (self == NULL)
        return NULL;
    PyObject *positional = tuple_from(args, count);
    PyObject *keywords = positional != NULL ? keywords_from(args + count, names) : NULL;
    if (keywords == NULL || Greenlet_init(self, positional, keywords) < 0)
        Py_CLEAR(self);
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    return self;
}

/* ---- attributes ---- */

static PyObject *
get_run(PyObject *self, void *Py_UNUSED(closure))
{
    struct fiber *fiber = fiber_of(self);
    if (fiber->state != FRESH || fiber->run == NULL) {
        PyErr_SetObject(PyExc_AttributeError, core.str_run);
        return NULL;
    }
    return Py_NewRef(fiber->run);
}

static int
set_run(PyObject *self, PyObject *run, void *Py_UNUSED(closure))
{
    return greenlet_set_run((GreenletObject *)self, run);
}

static PyObject *
get_parent(PyObject *self, void *Py_UNUSED(closure))
{
    GreenletObject *parent = fiber_of(self)->parent;
    return Py_NewRef(parent != NULL ? (PyObject *)parent : Py_None);
}

static int
set_parent(PyObject *self, PyObject *parent, void *Py_UNUSED(closure))
{
    return greenlet_set_parent((GreenletObject *)self, parent);
}

static PyObject *
get_dead(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(fiber_of(self)->state == DEAD);
}

static PyObject *
get_stack_saved(PyObject *self, void *Py_UNUSED(closure))
{
    struct fiber *fiber = fiber_of(self);
    bool parked = fiber->state == STARTED && !fiber->is_main && fiber->thread->current != fiber;
    return PyLong_FromSize_t(parked ? fiber_slice_size(fiber) : 0);
}

static int
Greenlet_bool(PyObject *self)
{
    return fiber_of(self)->state == STARTED;
}

static PyObject *
Greenlet_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyErr_Format(PyExc_TypeError, "cannot pickle or copy '%s' object: its C stack cannot be duplicated",
                 Py_TYPE(self)->tp_name);
    return NULL;
}

static PyMethodDef methods[] = {
    {"switch", (PyCFunction)(void (*)(void))Greenlet_switch, METH_FASTCALL | METH_KEYWORDS,
     "switch($self, /, *args, **kwargs)\n--\n\n"
     "Switch to this greenlet; return what the caller is switched back with.\n\n"
     "A new greenlet starts: its `run` is called with the arguments. In a suspended one the call of\n"
     "switch() that suspended it returns: the one positional argument, the tuple of several, the dict of\n"
     "keyword arguments, a pair of both, or () for none. A dead one hands the value to its parent.\n\n"
     "Raises greenlet.error when it belongs to another thread, and whatever is thrown into the caller\n"
     "meanwhile."},
    {"throw", (PyCFunction)(void (*)(void))Greenlet_throw, METH_FASTCALL,
     "throw($self, typ=GreenletExit, val=None, tb=None, /)\n--\n\n"
     "Switch to this greenlet and raise the given exception there.\n\n"
     "The parts are those of a `raise` statement: a class with an optional value, or an instance, and an\n"
     "optional traceback. A greenlet that has not started ends at once; a dead one passes the exception to\n"
     "its parent. Returns what the caller is switched back with. Raises TypeError when the parts do not fit together, greenlet.error for another thread's."},
    {"__reduce__", Greenlet_reduce, METH_NOARGS, "Refused: a stack cannot be duplicated. Raises TypeError."},
    {"__reduce_ex__", Greenlet_reduce, METH_O, "Refused: a stack cannot be duplicated. Raises TypeError."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"run", get_run, set_run, "The callable that runs when the greenlet starts; gone once it has.", NULL},
    {"parent", get_parent, set_parent,
     "The greenlet that gets the result or the exception when this one ends. None for a main greenlet.", NULL},
    {"dead", get_dead, NULL, "Whether the greenlet has ended.", NULL},
    {"gr_frame", Greenlet_get_frame, NULL,
     "The innermost Python frame of a suspended greenlet; None while it runs, before and after.", NULL},
    {"gr_context", Greenlet_get_context, Greenlet_set_context,
     "The contextvars.Context that the greenlet runs in; None for an empty one not made yet.", NULL},
    {"_stack_saved", get_stack_saved, NULL, "Bytes of C stack that a suspended greenlet holds; 0 for others.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyNumberMethods number_methods = {.nb_bool = Greenlet_bool};

PyTypeObject Greenlet_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "gossamer.switching.greenlet",
    .tp_doc = "greenlet(run=None, parent=None)\n--\n\n"
              "A pseudo-thread with a Python and C stack of its own, switched to explicitly.\n\n"
              "`run` is called when it is first switched to; without one, a subclass has a method of that\n"
              "name. `parent` gets the result: the greenlet that creates it, unless given.\n\n"
              "Raises TypeError when the parent is no greenlet, ValueError when it is a descendant or\n"
              "belongs to another thread.",
    .tp_basicsize = sizeof(GreenletObject),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = Greenlet_new,
    .tp_init = Greenlet_init,
    .tp_vectorcall = Greenlet_vectorcall,
    .tp_dealloc = Greenlet_dealloc,
    .tp_finalize = Greenlet_finalize,
    .tp_traverse = Greenlet_traverse,
    .tp_clear = Greenlet_clear,
    .tp_repr = Greenlet_repr,
    .tp_methods = methods,
    .tp_getset = attributes,
    .tp_as_number = &number_methods,
    .tp_weaklistoffset = offsetof(GreenletObject, weakrefs),
    .tp_dictoffset = offsetof(GreenletObject, dict),
};

/* greenlet offers these as attributes of the type too. */
static const char *const also_on_type[] = {"getcurrent", "error", "GreenletExit", "settrace", "gettrace"};

int
greenlet_type_ready(PyObject *module)
{
    if (PyType_Ready(&Greenlet_Type) < 0)
        return -1;
    for (size_t i = 0; i < sizeof also_on_type / sizeof *also_on_type; i++) {
        PyObject *value = PyObject_GetAttrString(module, also_on_type[i]);
        if (value == NULL)
            return -1;
        int result = PyDict_SetItemString(Greenlet_Type.tp_dict, also_on_type[i], value);
        Py_DECREF(value);
        if (result < 0)
            return -1;
    }
    PyType_Modified(&Greenlet_Type);
    return PyModule_AddObjectRef(module, "greenlet", (PyObject *)&Greenlet_Type);
}
