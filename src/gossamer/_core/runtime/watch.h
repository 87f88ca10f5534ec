/* Watches: what calls a function on the hub greenlet at each event, where nobody waits for it.

   Programs for gevent's loop have watchers of time (loop.timer) and of descriptors (loop.io). Green threads need
   neither: a fiber that waits stands in the timer heap or in a pollable's queue itself. A watch stands in the same
   heap, or beside the queues, and its events become entries of the ready ring. Facts and rules:

   - A watch is part of an object, `owner`. Wherever it stands owns a reference to that: the heap or the pollable, and
     the entry of the ring. So a watcher that is started lives, whoever else knows it.
   - It has at most one entry in the ring. `due` says whether the event of that entry is still wanted: who stops the
     watch takes it back, and an entry that is found without it calls nothing.
   - gevent's watchers of descriptors fire as long as there is readiness; epoll here reports edges. So a descriptor is
     armed again after each firing, which reports what is ready still.
   - What neither time nor a descriptor tells of (a signal, another thread), and what goes by the turns of the hub, stands
     in a list of the hub's: enum watch_kind of wait.h. watch_tell() is its event, from any thread.
   - A turn is a poll of the hub's own. Prepare watches come before it, also before the hub falls asleep; check watches
     after it, ahead of what it brought; idle watches instead of sleeping. Who drives the hub from outside calls
     hub_turn_driven() for that.
   - Arming is put off until the next poll. Drivers start and stop watchers for every message: that costs no system
     call. What cannot be armed (the descriptor was closed) is told then, by firing with the error.
   - A watch belongs to the thread of its hub. Others may tell it of an event, or stop it, while they hold the GIL, and
     not start it. */
#ifndef GOSSAMER_WATCH_H
#define GOSSAMER_WATCH_H

#include "wait.h"

struct hub;
struct pollable;
struct poller;

/* What is watched for, and what came: 1 << enum direction; that somebody told of it. */
enum { WATCH_READING = 1, WATCH_WRITING = 2, WATCH_TOLD = 4 };

struct watch {
    struct timer timer;
    PyObject *owner;                 /* not owned by the watch itself */

    /* The event. `events`: those that came; a negated errno if the descriptor cannot be watched; 0 for time and for the
       hub's turns. -1 with an exception set, which the hub reports. */
    int (*fire)(PyObject *owner, int events);

    struct hub *hub;                 /* while it stands anywhere */
    int64_t when;                    /* the deadline that it was started with last */
    struct watch *next, *previous;   /* of the same pollable, or in the hub's list of its kind */
    int descriptor;
    uint8_t events;                  /* what is watched for, while it stands beside a pollable; else 0 */
    uint8_t kind;                    /* while it stands in a list of the hub's; else 0 */
    int came;
    bool due, queued;
    bool unreferenced;               /* while it stands anywhere: no join() of the hub waits for it */
};

/* Starts a watch, which stands nowhere else then: at `when`, a point in time. -1 with an exception set. The caller has a
   reference to the owner. */
int watch_time(struct watch *watch, PyObject *hub_object, int64_t when, int referenced);

/* The same for a descriptor and events. */
int watch_descriptor(struct watch *watch, PyObject *hub_object, int descriptor, int events, int referenced);

/* The same for a place in the hub's list of a kind. */
int watch_stand(struct watch *watch, PyObject *hub_object, int kind, int referenced);

/* Its event comes: fires with WATCH_TOLD on the hub, started or not. From any thread that holds the GIL, with a reference
   to the owner. -1 with an exception set. */
int watch_tell(struct watch *watch, PyObject *hub_object);

/* Stops it, and takes back an event on its way. Does nothing when it stands nowhere. The caller has a reference to
   the owner. */
void watch_stop(struct watch *watch);

/* Whether join() waits for it from now on. */
void watch_refer(struct watch *watch, int referenced);

/* ---- for the hub ---- */
static inline bool
entry_is_watch(uintptr_t entry)
{
    return (entry & 3) == 3;
}

static inline struct watch *
entry_watch(uintptr_t entry)
{
    return (struct watch *)(entry & ~(uintptr_t)3);
}

/* The timer's deadline has come. */
void watch_expired(struct hub *hub, struct timer *timer);

/* An event has come for the watches of a pollable: of each that is for any of `directions`. */
void watches_came(struct hub *hub, struct pollable *pollable, int directions);

/* Makes the call of an entry, and drops its reference. */
void watch_run(struct hub *hub, struct watch *watch);

/* The watches of a kind that goes by the hub's turns have their event. */
void watches_of_turn(struct hub *hub, enum watch_kind kind);

/* Before a poll: arms the descriptors of watches that were started or have fired. */
void watches_arm(struct hub *hub);

/* What is known of the descriptor has changed: its watches look at the next poll what became of it. */
void watches_recheck(struct poller *poller, int descriptor, struct pollable *pollable);

/* The entry will not be run. */
void watch_entry_forget(struct watch *watch);

/* The hub ends: its watches stand nowhere any more. Destructors run. */
void watch_timer_drop(struct timer *timer);
void watches_drop(struct hub *hub);

/* In a forked child that leaves the others behind: no watch stands anywhere, and no code runs. */
void watch_timer_leave(struct timer *timer);
void watches_leave(struct hub *hub);

#endif
