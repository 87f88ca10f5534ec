/* The timeouts of select(), of poll objects and of epoll objects.

   Those of Python's own kinds are judged as the original judges them; what it refuses, it gets to see. Nanoseconds are
   rounded away from zero, and poll() and epoll.poll() count milliseconds in an int. */
#ifndef GOSSAMER_SELECT_TIMEOUTS_H
#define GOSSAMER_SELECT_TIMEOUTS_H

#include "points.h"

/* How a function reads its timeout, in nanoseconds. */
struct timing {
    int64_t unit;                    /* of its numbers */
    int64_t longest;                 /* further than that from 0 is refused */
    int64_t endless;                 /* up to here: no timeout */
};

extern const struct timing select_timing, poll_timing, epoll_timing;

/* For how many nanoseconds a call may wait, INT64_MAX for ever. 0: the original is called as it is, since it does not
   wait or has to refuse the timeout. */
int64_t time_to_wait(PyObject *timeout, const struct timing *timing);

/* When so many nanoseconds will be over; INT64_MAX: never. */
int64_t deadline_in(int64_t nanoseconds);

#endif
