/* The C interface of greenlets: for extension modules in C, C++ and Cython.

   Names, signatures, numbers and the object's head are those of greenlet's header of the same name, so an extension
   written for that compiles with this one, and a module compiled with that one runs on Gossamer under the alias. Add
   the folder that gossamer.switching.get_include() names to the compiler's include path, and

       #include <greenlet/greenlet.h>

   Call PyGreenlet_Import() once, when the module is initialized, before anything else of this; afterwards ask
   PyErr_Occurred(), or whether _PyGreenlet_API is NULL. Each file that includes this header has its own pointer.

   A switch may lead anywhere: when it returns, other greenlets have run. Own a reference to what is needed afterwards.
   An exception of C++ must be caught on the stack where it was thrown: it may not leave a function that Python called. */
#ifndef Py_GREENLETOBJECT_H
#define Py_GREENLETOBJECT_H

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types of greenlets in C begin with this. Everything behind `pimpl` is private. */
typedef struct _greenlet {
    PyObject_HEAD
    PyObject *weakreflist;
    PyObject *dict;
    void *pimpl;
} PyGreenlet;

/* Places in the array of pointers: part of the binary interface. */
#define PyGreenlet_Type_NUM 0
#define PyExc_GreenletError_NUM 1
#define PyExc_GreenletExit_NUM 2
#define PyGreenlet_New_NUM 3
#define PyGreenlet_GetCurrent_NUM 4
#define PyGreenlet_Throw_NUM 5
#define PyGreenlet_Switch_NUM 6
#define PyGreenlet_SetParent_NUM 7
#define PyGreenlet_MAIN_NUM 8
#define PyGreenlet_STARTED_NUM 9
#define PyGreenlet_ACTIVE_NUM 10
#define PyGreenlet_GET_PARENT_NUM 11
#define PyGreenlet_API_pointers 12

static void **_PyGreenlet_API = NULL;

#define _PyGreenlet_function(number, result, parameters) (*(result (*) parameters)_PyGreenlet_API[number])

/* The class `greenlet`, as an lvalue; `greenlet.error` and `greenlet.GreenletExit`, borrowed. */
#define PyGreenlet_Type (*(PyTypeObject *)_PyGreenlet_API[PyGreenlet_Type_NUM])
#define PyExc_GreenletError ((PyObject *)_PyGreenlet_API[PyExc_GreenletError_NUM])
#define PyExc_GreenletExit ((PyObject *)_PyGreenlet_API[PyExc_GreenletExit_NUM])

#define PyGreenlet_Check(op) ((op) && PyObject_TypeCheck(op, &PyGreenlet_Type))

/* greenlet(run, parent): either may be NULL. New reference, or NULL with an exception set. */
#define PyGreenlet_New \
    _PyGreenlet_function(PyGreenlet_New_NUM, PyGreenlet *, (PyObject *run, PyGreenlet *parent))

/* getcurrent(): new reference, or NULL with an exception set. */
#define PyGreenlet_GetCurrent _PyGreenlet_function(PyGreenlet_GetCurrent_NUM, PyGreenlet *, (void))

/* g.throw(typ, val, tb): `val` and `tb` may be NULL. Returns what the caller is switched back with, a new reference, or
   NULL with an exception set. */
#define PyGreenlet_Throw                                \
    _PyGreenlet_function(PyGreenlet_Throw_NUM, PyObject *, \
                         (PyGreenlet *g, PyObject *typ, PyObject *val, PyObject *tb))

/* g.switch(*args, **kwargs): a tuple and a dict; either may be NULL. Returns as PyGreenlet_Throw does. */
#define PyGreenlet_Switch \
    _PyGreenlet_function(PyGreenlet_Switch_NUM, PyObject *, (PyGreenlet *g, PyObject *args, PyObject *kwargs))

/* g.parent = parent: 0, or -1 with an exception set. */
#define PyGreenlet_SetParent \
    _PyGreenlet_function(PyGreenlet_SetParent_NUM, int, (PyGreenlet *g, PyGreenlet *parent))

/* g.parent: new reference, or NULL without an exception when there is none. */
#define PyGreenlet_GetParent _PyGreenlet_function(PyGreenlet_GET_PARENT_NUM, PyGreenlet *, (PyGreenlet *g))
#define PyGreenlet_GET_PARENT PyGreenlet_GetParent

/* Whether it is its thread's main greenlet; has been started, ended ones included; is started and has not ended. */
#define PyGreenlet_MAIN _PyGreenlet_function(PyGreenlet_MAIN_NUM, int, (PyGreenlet *g))
#define PyGreenlet_STARTED _PyGreenlet_function(PyGreenlet_STARTED_NUM, int, (PyGreenlet *g))
#define PyGreenlet_ACTIVE _PyGreenlet_function(PyGreenlet_ACTIVE_NUM, int, (PyGreenlet *g))

/* Leaves NULL in _PyGreenlet_API, with an exception set, when Gossamer cannot be imported. */
static inline void
PyGreenlet_Import(void)
{
    PyObject *core = PyImport_ImportModule("gossamer._core");
    PyObject *capsule = core != NULL ? PyObject_GetAttrString(core, "_C_API") : NULL;
    if (capsule != NULL)
        _PyGreenlet_API = (void **)PyCapsule_GetPointer(capsule, "greenlet._C_API");
    Py_XDECREF(capsule);
    Py_XDECREF(core);
}

#ifdef __cplusplus
}
#endif

#endif
