/* Readiness of file descriptors: edge-triggered epoll.

   Each descriptor has a `pollable`, found by its number, with two wait queues. Facts and rules:

   - A descriptor is registered once, for both directions and edge-triggered, and stays registered.
     An edge costs one epoll_wait entry, and none while nobody waits.
   - A number can be closed and used again behind our back, and a dup() of the old one may still be
     registered. So whoever is not known to belong to us (`owned`) is re-armed before each wait:
     EPOLL_CTL_MOD reports a state that is ready already; ENOENT means that the number was closed and
     is registered anew; EPERM that epoll cannot watch it (a regular file): always ready.
   - Events carry the pollable's generation. One that was forgotten since drops them.
   - The first waiter of a direction is not the only one: of a descriptor that we do not own, all are
     woken, and each tries again. */
#ifndef GOSSAMER_POLLER_H
#define GOSSAMER_POLLER_H

#include "wait.h"

#include <sys/epoll.h>

enum direction { READING, WRITING };

struct pollable {
    struct wait_queue waiting[2];    /* by enum direction */
    uint32_t generation;
    bool registered;
    bool owned;                      /* its birth and death pass through us */
    bool ready[2];                   /* owned: an edge came that nobody has used up yet */
};

enum { POLLABLES_A_BLOCK = 256, EVENTS_A_CALL = 512 };

struct poller {
    int epoll;
    int wakeup;                      /* eventfd that other threads write to */
    struct pollable **blocks;        /* addresses stay: wait queues are pointed to */
    int block_count;
    Py_ssize_t waiting;              /* fibers in all the wait queues */
    struct epoll_event events[EVENTS_A_CALL];
};

/* Returns -1 with OSError set. */
int poller_open(struct poller *poller);
void poller_close(struct poller *poller);

/* The pollable of a descriptor, made at first use. NULL with an exception set. */
struct pollable *poller_get(struct poller *poller, int descriptor);

/* To be called before waiting. Returns 1 when registered: an edge will come; 0 when the descriptor is
   of a kind that is always ready; -1 with OSError set. */
int poller_arm(struct poller *poller, int descriptor, struct pollable *pollable);

/* In a forked child: the epoll instance is shared with the parent, so a new one takes over all that is
   waited for. Returns -1 with OSError set. */
int poller_after_fork(struct poller *poller);

/* The pollable that an event is for; NULL when it is stale, or for the wake-up descriptor. */
struct pollable *poller_event(struct poller *poller, const struct epoll_event *event, bool ready[2]);

#endif
