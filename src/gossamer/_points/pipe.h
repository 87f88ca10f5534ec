/* What the points of files take from those of os.read() and os.write(): see pipe.c. */
#ifndef GOSSAMER_PIPE_H
#define GOSSAMER_PIPE_H

#include "points.h"

/* More than the kernel moves in one call. */
#define TOO_MUCH 0x7ffff000

/* What pipe_move() returns beside a number of bytes. */
enum { FAILED = -1, LEAVE_TO_ORIGINAL = -2 };

/* Whether reading and writing wait for nobody, as far as this can be known. */
bool is_storage(int descriptor);

/* Reads what there is, or writes everything, parking as needed. Returns how many bytes, LEAVE_TO_ORIGINAL with nothing
   moved, or FAILED with an exception set and `*moved_before` bytes written. */
Py_ssize_t pipe_move(struct hub *hub, int descriptor, enum direction direction, void *start, Py_ssize_t length,
                     Py_ssize_t *moved_before);

#endif
