/* What the points of raw files and of the buffers above them share: see file.c and buffered.c. */
#ifndef GOSSAMER_FILE_H
#define GOSSAMER_FILE_H

#include "calls.h"

/* A write to `raw` was interrupted after a part: the buffered object in which the current fiber is takes note, and
   `exception` is raised when it writes on, or ends. Returns false when nobody is there to do so; otherwise the
   reference is taken over. */
bool buffered_postpone(struct hub *hub, PyObject *raw, PyObject *exception);

/* Raises what was postponed for the writing of `raw`. Returns -1 with it set. */
int buffered_raise_postponed(struct hub *hub, PyObject *raw);

#endif
