/* The arguments of a vectorcall as a tuple and a dict. */
#ifndef GOSSAMER_ARGUMENTS_H
#define GOSSAMER_ARGUMENTS_H

#include "fiber.h"

/* New reference, or NULL with MemoryError set. */
static inline PyObject *
tuple_from(PyObject *const *items, Py_ssize_t count)
{
    if (count == 0)
        return Py_NewRef(core.empty_tuple);
    PyObject *tuple = PyTuple_New(count);
    if (tuple == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++)
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(items[i]));
    return tuple;
}

/* The keyword arguments whose values begin at `values`; `names` is their tuple, or NULL: there are none. New reference,
   or NULL with an exception set. */
static inline PyObject *
keywords_from(PyObject *const *values, PyObject *names)
{
    PyObject *keywords = PyDict_New();
    Py_ssize_t count = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; keywords != NULL && i < count; i++)
        if (PyDict_SetItem(keywords, PyTuple_GET_ITEM(names, i), values[i]) < 0)
            Py_CLEAR(keywords);
    return keywords;
}

#endif
