/* Parking until a child process may have something to tell: see child_wait.c. */
#ifndef GOSSAMER_CHILD_WAIT_H
#define GOSSAMER_CHILD_WAIT_H

#include "points.h"

#include <sys/wait.h>

/* Which children, and which of their changes, in the terms of waitid(). */
struct children {
    idtype_t type;
    id_t id;
    int changes;                     /* WEXITED, WSTOPPED, WCONTINUED */
};

/* Parks until a call that asks for these children may find one, or an error. It may also be for nothing. Returns -1
   with an exception set. */
int child_wait(struct hub *hub, struct children which);

#endif
