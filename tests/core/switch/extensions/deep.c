/* A call with as much of the C stack in use as the test wants: called(bytes, function). */
#include <Python.h>

#include <alloca.h>
#include <string.h>

static PyObject *
called(PyObject *module, PyObject *args)
{
    Py_ssize_t bytes;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "nO:called", &bytes, &function))
        return NULL;
    volatile char *used = alloca((size_t)bytes);
    used[0] = used[bytes - 1] = 1;
    PyObject *result = PyObject_CallNoArgs(function);
    used[0] = 2;
    return result;
}

static PyMethodDef functions[] = {{"called", called, METH_VARARGS, NULL}, {NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "deep", .m_size = 0, .m_methods = functions};

PyMODINIT_FUNC
PyInit_deep(void)
{
    return PyModule_Create(&definition);
}
