/* Interrupts of files that go away: see finalizing.c. */
#ifndef GOSSAMER_FINALIZING_H
#define GOSSAMER_FINALIZING_H

#include "points.h"

/* What close() of a file, a point, returns, or NULL with an exception set: an interrupt that the interpreter is about to
   clear is raised again at the caller's next wait. Hands `result` on. */
PyObject *close_result(const struct point *point, PyObject *self, PyObject *result);

#endif
