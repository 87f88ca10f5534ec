/* Each entry of greenlet's C interface, made callable from Python; and a type of greenlets with a field of its own. */
#include <Python.h>
#include <greenlet/greenlet.h>

static PyObject *
or_none(PyObject *object)
{
    if (object != NULL || PyErr_Occurred())
        return object;
    Py_RETURN_NONE;
}

static PyObject *
null_for_none(PyObject *object)
{
    return object != Py_None ? object : NULL;
}

static PyObject *
check(PyObject *module, PyObject *object)
{
    return PyBool_FromLong(PyGreenlet_Check(object));
}

static PyObject *
is_main(PyObject *module, PyObject *object)
{
    int answer = PyGreenlet_MAIN((PyGreenlet *)object);
    return answer < 0 ? NULL : PyBool_FromLong(answer);
}

static PyObject *
is_started(PyObject *module, PyObject *object)
{
    int answer = PyGreenlet_STARTED((PyGreenlet *)object);
    return answer < 0 ? NULL : PyBool_FromLong(answer);
}

static PyObject *
is_active(PyObject *module, PyObject *object)
{
    int answer = PyGreenlet_ACTIVE((PyGreenlet *)object);
    return answer < 0 ? NULL : PyBool_FromLong(answer);
}

static PyObject *
make(PyObject *module, PyObject *args)
{
    PyObject *run, *parent;
    if (!PyArg_ParseTuple(args, "OO", &run, &parent))
        return NULL;
    return (PyObject *)PyGreenlet_New(null_for_none(run), (PyGreenlet *)null_for_none(parent));
}

static PyObject *
current(PyObject *module, PyObject *ignored)
{
    return (PyObject *)PyGreenlet_GetCurrent();
}

static PyObject *
switch_to(PyObject *module, PyObject *args)
{
    PyObject *target, *positional, *keywords;
    if (!PyArg_ParseTuple(args, "OOO", &target, &positional, &keywords))
        return NULL;
    return PyGreenlet_Switch((PyGreenlet *)target, null_for_none(positional), null_for_none(keywords));
}

static PyObject *
throw_into(PyObject *module, PyObject *args)
{
    PyObject *target, *type, *value, *traceback;
    if (!PyArg_ParseTuple(args, "OOOO", &target, &type, &value, &traceback))
        return NULL;
    return PyGreenlet_Throw((PyGreenlet *)target, type, null_for_none(value), null_for_none(traceback));
}

static PyObject *
set_parent(PyObject *module, PyObject *args)
{
    PyObject *target, *parent;
    if (!PyArg_ParseTuple(args, "OO", &target, &parent))
        return NULL;
    if (PyGreenlet_SetParent((PyGreenlet *)target, (PyGreenlet *)parent) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
get_parent(PyObject *module, PyObject *target)
{
    return or_none((PyObject *)PyGreenlet_GetParent((PyGreenlet *)target));
}

/* ---- a type in C that begins with a greenlet ---- */

typedef struct {
    PyGreenlet greenlet;
    long number;
} Numbered;

static PyObject *
get_number(PyObject *self, void *closure)
{
    return PyLong_FromLong(((Numbered *)self)->number);
}

static int
set_number(PyObject *self, PyObject *value, void *closure)
{
    ((Numbered *)self)->number = PyLong_AsLong(value);
    return PyErr_Occurred() ? -1 : 0;
}

static PyGetSetDef numbered_attributes[] = {
    {"number", get_number, set_number, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject Numbered_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "entries.Numbered",
    .tp_basicsize = sizeof(Numbered),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_getset = numbered_attributes,
};

static PyMethodDef functions[] = {
    {"check", check, METH_O, NULL},
    {"is_main", is_main, METH_O, NULL},
    {"is_started", is_started, METH_O, NULL},
    {"is_active", is_active, METH_O, NULL},
    {"make", make, METH_VARARGS, NULL},
    {"current", current, METH_NOARGS, NULL},
    {"switch_to", switch_to, METH_VARARGS, NULL},
    {"throw_into", throw_into, METH_VARARGS, NULL},
    {"set_parent", set_parent, METH_VARARGS, NULL},
    {"get_parent", get_parent, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "entries", .m_size = -1, .m_methods = functions};

PyMODINIT_FUNC
PyInit_entries(void)
{
    PyGreenlet_Import();
    if (_PyGreenlet_API == NULL)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    Numbered_Type.tp_base = &PyGreenlet_Type;
    if (module == NULL || PyType_Ready(&Numbered_Type) < 0
        || PyModule_AddObjectRef(module, "Numbered", (PyObject *)&Numbered_Type) < 0
        || PyModule_AddObjectRef(module, "Type", (PyObject *)&PyGreenlet_Type) < 0
        || PyModule_AddObjectRef(module, "Error", PyExc_GreenletError) < 0
        || PyModule_AddObjectRef(module, "Exit", PyExc_GreenletExit) < 0)
        return NULL;
    return module;
}
