/* What the files of the TLS points share.

   - ssl.c: the table, trying, waiting.
   - ssl_calls.c: which calls are under way on a TLS object, and what the original gets to see in one.

   A *TLS object* is an _ssl._SSLSocket. It has a weak reference to a socket object, which it asks for the
   timeout, or none when it works on memory (MemoryBIO, asyncio): those cannot block, and are left alone. */
#ifndef GOSSAMER_SSL_H
#define GOSSAMER_SSL_H

#include "socket.h"

/* The calls under way on one TLS object, parked ones included. */
struct ssl_calls {
    PyObject *object;                /* the TLS object; each call refers to it */
    int count;
    int inside;                      /* how many of them are in the original: one, and what its callbacks call */
    const void *insider;             /* whose they are: see ssl_caller() */
    int made_nonblocking;            /* the descriptor, if it got O_NONBLOCK for them, else -1 */
    bool taken[2];                   /* by enum direction: one of them has the turn to read, to write */
    PyObject *reference;             /* while one is inside: what object->socket was; owned */
    struct ssl_calls *next;          /* in the same bucket */
};

/* Asks once whether TLS objects look inside as we expect. */
bool ssl_calls_probe(void);

/* One more call, and one less. The first returns NULL with MemoryError set. */
struct ssl_calls *ssl_call_begin(PyObject *object);
void ssl_call_end(struct ssl_calls *calls);

/* The fiber or native thread that asks. */
const void *ssl_caller(void);

/* The socket below a TLS object. New reference; NULL without an exception when there is none (any more). */
SocketObject *ssl_socket_of(PyObject *object);

/* Has the original see a stand-in for `socket`, with `timeout` (nanoseconds), and a descriptor that does not
   block. Returns the stand-in; NULL with an exception set. Between this and the original's own look at it,
   nothing may release the GIL. */
SocketObject *ssl_enter(struct ssl_calls *calls, const SocketObject *socket, int64_t timeout);
void ssl_leave(struct ssl_calls *calls, const SocketObject *socket, SocketObject *stand_in);

#endif
