/* Calls of the originals that take addresses and ancillary data, made again after each wait: socket_messages.c makes
   them, socket_waitall.c puts the pieces of one together. */
#ifndef GOSSAMER_SOCKET_MESSAGES_H
#define GOSSAMER_SOCKET_MESSAGES_H

#include "socket.h"

enum { MOST_ARGUMENTS = 4 };

struct message_call {
    enum socket_point which;
    enum direction direction;
    PyObject *self;
    PyObject *args[MOST_ARGUMENTS];  /* owned */
    Py_ssize_t count;
    int flags;
    bool is_held;                    /* args[0] are memory views: nobody can resize what they show, or exchange it */
};

/* Calls the original until it need not wait. New reference, or NULL with an exception set. */
PyObject *call_patiently(struct hub *hub, struct message_call *call);

/* Has the call go on with the buffers that it has, as the original does while it waits. Returns -1 with an exception
   set. */
int call_hold(struct message_call *call);

/* After a call with MSG_WAITALL, for which receives_all() says so: everything, or what there is before the end. Takes
   over `result`. */
PyObject *receive_rest(struct hub *hub, struct message_call *call, PyObject *result);

#endif
