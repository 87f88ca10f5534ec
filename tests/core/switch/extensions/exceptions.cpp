// C++ exceptions thrown and caught around switches. Each function catches what it throws, as it must.
#include <Python.h>
#include <greenlet/greenlet.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace {

// A reference to what a switch came back with, or a C++ exception for a Python one.
struct PythonError {};

PyObject *switched(PyObject *target)
{
    PyObject *result = PyGreenlet_Switch(reinterpret_cast<PyGreenlet *>(target), nullptr, nullptr);
    if (result == nullptr)
        throw PythonError();
    return result;
}

// Counts those that live: each stack has to destroy its own.
struct Guard {
    static int alive;
    Guard() { alive++; }
    ~Guard() { alive--; }
};
int Guard::alive = 0;

[[noreturn]] void throw_below(int depth, const std::string &text)
{
    Guard guard;
    char room[200];
    room[0] = static_cast<char>(depth);
    if (depth > 0)
        throw_below(depth - 1 + room[0] * 0, text);
    throw std::runtime_error(text);
}

PyObject *text_of(const std::exception &error) { return PyUnicode_FromString(error.what()); }

// throw_after(target, text): switches inside the `try`, throws below further frames, catches.
PyObject *throw_after(PyObject *, PyObject *args)
{
    PyObject *target;
    const char *text;
    if (!PyArg_ParseTuple(args, "Os", &target, &text))
        return nullptr;
    try {
        Guard guard;
        Py_DECREF(switched(target));
        throw_below(20, text);
    }
    catch (const std::runtime_error &error) {
        return text_of(error);
    }
    catch (const PythonError &) {
        return nullptr;
    }
}

// switch_while_caught(target, text): switches inside the `catch`; then the exception must still be the same, also when it
// is thrown again.
PyObject *switch_while_caught(PyObject *, PyObject *args)
{
    PyObject *target;
    const char *text;
    if (!PyArg_ParseTuple(args, "Os", &target, &text))
        return nullptr;
    try {
        try {
            throw_below(5, text);
        }
        catch (const std::runtime_error &error) {
            Py_DECREF(switched(target));
            if (std::string(error.what()) != text)
                return PyUnicode_FromString("another exception's text");
            throw;
        }
    }
    catch (const std::runtime_error &error) {
        return text_of(error);
    }
    catch (const PythonError &) {
        return nullptr;
    }
}

// Switches while the stack is unwound.
struct Switching {
    PyObject *target;
    bool failed = false;
    explicit Switching(PyObject *target) : target(target) {}
    ~Switching()
    {
        PyObject *result = PyGreenlet_Switch(reinterpret_cast<PyGreenlet *>(target), nullptr, nullptr);
        Py_XDECREF(result);
    }
};

// switch_while_unwinding(target, text)
PyObject *switch_while_unwinding(PyObject *, PyObject *args)
{
    PyObject *target;
    const char *text;
    if (!PyArg_ParseTuple(args, "Os", &target, &text))
        return nullptr;
    try {
        Switching switching(target);
        throw_below(5, text);
    }
    catch (const std::runtime_error &error) {
        return PyErr_Occurred() ? nullptr : text_of(error);
    }
}

PyObject *uncaught(PyObject *, PyObject *) { return PyLong_FromLong(std::uncaught_exceptions()); }

PyObject *handles_one(PyObject *, PyObject *) { return PyBool_FromLong(std::current_exception() != nullptr); }

PyObject *guards(PyObject *, PyObject *) { return PyLong_FromLong(Guard::alive); }

PyMethodDef functions[] = {
    {"throw_after", throw_after, METH_VARARGS, nullptr},
    {"switch_while_caught", switch_while_caught, METH_VARARGS, nullptr},
    {"switch_while_unwinding", switch_while_unwinding, METH_VARARGS, nullptr},
    {"uncaught", uncaught, METH_NOARGS, nullptr},
    {"handles_one", handles_one, METH_NOARGS, nullptr},
    {"guards", guards, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "exceptions", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_exceptions()
{
    PyGreenlet_Import();
    return _PyGreenlet_API != nullptr ? PyModule_Create(&definition) : nullptr;
}
