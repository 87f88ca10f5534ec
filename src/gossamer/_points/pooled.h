/* Points whose call cannot be made green: a native thread makes it (gossamer._sync.native_call). */
#ifndef GOSSAMER_POOLED_H
#define GOSSAMER_POOLED_H

#include "points.h"

/* Calls module.name(original, *args, **kwargs) for a point that is a function: `module` is one of ours, imported at
   first use. */
PyObject *call_helper(const char *module, const char *name, const struct point *point, PyObject *const *args,
                      Py_ssize_t count, PyObject *names);

/* The argument at `place`, or called `name`; borrowed. NULL, without an exception, when it is not given. */
PyObject *argument_from(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t place, const char *name);

#endif
