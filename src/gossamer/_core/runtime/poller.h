/* Readiness of file descriptors: edge-triggered epoll.

   Each descriptor has a `pollable`, found by its number, with two wait queues. Facts and rules:

   - A descriptor is registered once, edge-triggered, and stays registered: for reading or for writing
     from the first time that somebody waits for that. (Each read of the other end makes a Unix socket
     writable, which is an event for nothing as long as nobody wants to know.)
   - A number can be closed and used again behind our back, and a dup() of the old one may still be
     registered. So whoever is not known to belong to us (`owned`) is re-armed before each wait:
     EPOLL_CTL_MOD reports a state that is ready already; ENOENT means that the number was closed and
     is registered anew; EPERM that epoll cannot watch it (a regular file): always ready.
   - Owned is the number of a socket object that somebody has waited with, from then on: the births and
     deaths of socket objects pass through us. A birth forgets what was known of the number before, so
     that one which was closed unseen leaves nothing behind. Whoever waits for a number as such, not for
     a socket, re-arms it all the same.
   - Events carry the pollable's generation. One that was forgotten since drops them.
   - Of a descriptor that we do not own, an edge wakes all waiters, and each tries again. Of an owned one
     it sets `ready`, which stays until a system call has answered EAGAIN (or a short read has shown that
     it would), and wakes the first; whoever leaves `ready` set wakes the next.
   - What a waiting call has made for itself is no use to its copy in a forked child, where it would be the
     parent's as well: that one goes on at once, and makes another.
   - A stream that was read short is empty: so the system call that would only say so is saved. Not
     so after the other end has hung up, or with urgent data about: what is left then makes no edge. */
#ifndef GOSSAMER_POLLER_H
#define GOSSAMER_POLLER_H

#include "wait.h"

#include <sys/epoll.h>

enum direction { READING, WRITING };

struct pollable {
    struct wait_queue waiting[2];    /* by enum direction */
    struct watch *watches;           /* those of this descriptor: watch.h */
    uint32_t generation;
    uint8_t registered;              /* bits by enum direction: what epoll reports */
    bool owned;                      /* a socket's */
    bool ready[2];                   /* owned: an edge came that nobody has used up yet */
    bool short_means_empty;          /* owned: a read that got less than it asked for left nothing */
    bool changed;                    /* stands in the poller's list of changes */
    bool is_the_process_own;         /* made for the time of the wait, and not to be shared with a forked child */
};

enum { POLLABLES_A_BLOCK = 256, EVENTS_A_CALL = 512, RECEIVE_BUFFER_SIZE = 256 * 1024 };

struct poller {
    int epoll;
    int wakeup;                      /* eventfd that other threads write to */
    bool reminded;                   /* so did this one: hub_remind_driver() */
    struct pollable **blocks;        /* addresses stay: wait queues are pointed to */
    int block_count;
    char *receive_buffer;                   /* RECEIVE_BUFFER_SIZE bytes that nobody keeps across a park; or NULL */
    Py_ssize_t waiting;              /* fibers in all the wait queues, and watches that somebody counts on */
    int *changes;                    /* descriptors that watches want to have armed before the next poll */
    int change_count, changes_capacity;
    int watched;                     /* watches of all descriptors */
    struct epoll_event events[EVENTS_A_CALL];
};

/* Returns -1 with OSError set. */
int poller_open(struct poller *poller);
void poller_close(struct poller *poller);

/* The pollable of a descriptor, made at first use. NULL with an exception set. */
struct pollable *poller_get(struct poller *poller, int descriptor);

/* The same if there is one already; NULL without an exception. */
static inline struct pollable *
poller_find(const struct poller *poller, int descriptor)
{
    unsigned block = (unsigned)descriptor / POLLABLES_A_BLOCK;
    struct pollable *pollables = block < (unsigned)poller->block_count ? poller->blocks[block] : NULL;
    return pollables != NULL ? &pollables[(unsigned)descriptor % POLLABLES_A_BLOCK] : NULL;
}

static inline bool
pollable_is_registered(const struct pollable *pollable, enum direction direction)
{
    return pollable->registered >> direction & 1;
}

/* Whether an edge is known to come before a read of this descriptor can succeed. */
static inline bool
pollable_is_empty(const struct pollable *pollable)
{
    return pollable_is_registered(pollable, READING) && pollable->owned && !pollable->ready[READING];
}

/* The receive buffer, made at first use. NULL with MemoryError set. */
char *poller_receive_buffer(struct poller *poller);

/* To be called before waiting for a descriptor that is not owned. Returns 1 when registered: an edge will
   come; 0 when the descriptor is of a kind that is always ready; -1 with OSError set. */
int poller_arm(struct poller *poller, int descriptor, struct pollable *pollable, enum direction direction);

/* The same for several directions at once, the bits of enum direction. */
int poller_arm_all(struct poller *poller, int descriptor, struct pollable *pollable, unsigned directions);

/* Drops what is known of the number: its file is another one, or about to be. Waiters stay. */
void pollable_forget(struct pollable *pollable);

/* In a forked child: the epoll instance is shared with the parent, so a new one takes over all that is
   waited for. Returns -1 with OSError set: there is no descriptor left for it. Then it has none for the time, and each
   poll, and whoever begins to wait for a descriptor, tries again by poller_reopen(), which sets errno only. */
int poller_after_fork(struct poller *poller);
int poller_reopen(struct poller *poller);

/* ---- for the points ---- */
/* Somebody is about to put another file under this number: a hub's descriptor that has it goes on under another one.
   Returns -1 with OSError set. */
int pollers_make_way(int descriptor);

/* ---- poll.c, for the points ---- */
struct hub;

/* What a socket is to the poller. */
enum socket_kind {
    EXOTIC,                          /* nobody knows what epoll tells of it: never owned */
    MESSAGES,
    STREAM,
};

/* Waits until something may have changed for a socket whose last system call in this direction answered
   EAGAIN (or would have: pollable_is_empty). Returns UNPARKED or TIMED_OUT, -1 with an exception set:
   OSError EBADF when the descriptor is closed meanwhile. */
int hub_wait_socket(struct hub *hub, int descriptor, enum socket_kind kind, enum direction direction,
                    int64_t deadline);

/* To be called after using a socket: when more may be there, the next waiter may go on. */
void hub_pass_on(struct pollable *pollable, enum direction direction);

/* The number stands for another file from now on, or is about to be closed: in all hubs. Whoever waits
   for it has `outcome`. */
void descriptor_changed(int descriptor, enum wait_outcome outcome);

/* The pollable that an event is for; NULL when it is stale, or for the wake-up descriptor. */
struct pollable *poller_event(struct poller *poller, const struct epoll_event *event, bool ready[2]);

#endif
