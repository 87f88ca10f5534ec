/* Attributes that are looked up in a dictionary of the caller's choice, and weak references looked at in passing.

   For the package's other compiled modules: it needs Python.h alone, not the interpreter's internals. The functions
   with an underscore are exported by CPython 3.11 to 3.15, the same on each; the struct of a weak reference is in its
   headers for as long. */
#ifndef GOSSAMER_CPYTHON_ATTRIBUTES_H
#define GOSSAMER_CPYTHON_ATTRIBUTES_H

#include <Python.h>

/* As object.__getattribute__(self, name), with `attributes` in the place of the object's own dictionary. */
static inline PyObject *
attribute_get(PyObject *self, PyObject *name, PyObject *attributes)
{
    return _PyObject_GenericGetAttrWithDict(self, name, attributes, 0);
}

/* The data descriptor of that name in the object's class. Borrowed; NULL without an exception when there is none. */
static inline PyObject *
data_descriptor(PyObject *self, PyObject *name)
{
    PyObject *found = _PyType_Lookup(Py_TYPE(self), name);
    return found != NULL && Py_TYPE(found)->tp_descr_set != NULL ? found : NULL;
}

/* What a weak reference refers to, borrowed; NULL, without an exception, when that is gone. */
static inline PyObject *
referent(PyObject *reference)
{
    PyObject *object = ((PyWeakReference *)reference)->wr_object;
    return object != Py_None ? object : NULL;
}

/* Whether a weak reference is one to that object, which is alive. */
static inline int
refers_to(PyObject *reference, PyObject *object)
{
    return ((PyWeakReference *)reference)->wr_object == object;
}

#endif
