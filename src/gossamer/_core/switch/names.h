/* Attributes and methods by a name that is written in C.

   The interpreter's cache of methods keeps each string that it was asked for last. Up to 3.12
   PyObject_GetAttrString() and PyObject_CallMethod() make a new one each time, so that calls leave memory behind, a
   bounded number of strings, in places that change with the strings' addresses. An interned one is the same string
   for as long as the cache has it. */
#ifndef GOSSAMER_NAMES_H
#define GOSSAMER_NAMES_H

#include "cpython/version.h"

/* New reference, or NULL with an exception set; `object` may be NULL, with one set already. */
static inline PyObject *
attribute_named(PyObject *object, const char *name)
{
    PyObject *interned = object != NULL ? PyUnicode_InternFromString(name) : NULL;
    PyObject *attribute = interned != NULL ? PyObject_GetAttr(object, interned) : NULL;
    Py_XDECREF(interned);
    return attribute;
}

/* object.name(*args) */
static inline PyObject *
call_method_named(PyObject *object, const char *name, PyObject *const *args, size_t count)
{
    enum { MOST = 4 };
    PyObject *all[MOST + 1] = {object};
    PyObject *interned = object != NULL ? PyUnicode_InternFromString(name) : NULL;
    assert(count <= MOST);
    for (size_t i = 0; i < count; i++)
        all[i + 1] = args[i];
    PyObject *result = interned != NULL ? PyObject_VectorcallMethod(interned, all, count + 1, NULL) : NULL;
    Py_XDECREF(interned);
    return result;
}

/* object.name() */
static inline PyObject *
call_named(PyObject *object, const char *name)
{
    return call_method_named(object, name, NULL, 0);
}

#endif
