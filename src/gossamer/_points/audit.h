/* Audit events of calls that are made again after a wait: see audit.c. */
#ifndef GOSSAMER_AUDIT_H
#define GOSSAMER_AUDIT_H

#include "points.h"

/* Calls the original as point_original() does. With `again`, its audit event has been raised before. */
PyObject *point_original_audited(const struct point *point, PyObject *self, PyObject *const *args, Py_ssize_t count,
                                 bool again);

#endif
