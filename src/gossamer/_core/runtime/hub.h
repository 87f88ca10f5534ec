/* The hub: the scheduler of one OS thread, with direct hand-off.

   There is no scheduler greenlet on the hot path. A fiber that parks takes the next entry of the ready
   ring and switches to it; if there is none it polls on its own stack, and when it turns out to be the
   one made ready it goes on without a switch.

   The hub *greenlet* (`home`) is where Python code of nobody in particular runs: callbacks, timers'
   callbacks, the end of everything. Signal handlers are started from it, on greenlets of their own. Rules:

   - The ring is one FIFO of fibers and callbacks, so that what was made ready first runs first. Whoever
     finds a callback at its head switches to `home` and leaves the callback to it.
   - No Python code runs on a stack that waits or is in the ring, since that code might switch. So
     parking touches no reference count that could reach zero, and signals only raise `attention`.
   - `home` never waits: whoever blocks on it gets BlockingSwitchOutError.
   - The poller is asked without blocking every POLL_TURNS switches or POLL_NANOSECONDS, whichever comes
     first, so that a full ring starves nobody.
   - Other threads reach a hub by `remote` alone, under its lock, and wake it through an eventfd.
   - Whoever is made ready is not lost for lack of memory: a fiber for which the ring, or `remote`, cannot grow is
     marked, and looked for when there is a place again. It alone loses its turn in the FIFO. What has not begun to
     wait, a callback or a green thread's start, is refused with MemoryError.
   - With nothing ready, no timer, no descriptor waited for and no other thread that could unpark
     anybody, everything is parked for ever: LoopExit in the main fiber, with a report. */
#ifndef GOSSAMER_HUB_H
#define GOSSAMER_HUB_H

#include "../switch/fiber.h"
#include "poller.h"
#include "timers.h"

#include <pthread.h>

enum { POLL_TURNS = 128, CALLS_A_LOOK = 64 };
#define POLL_NANOSECONDS 5000000

/* What is in the ring: a fiber, a CallbackObject with the lowest bit set, or a watch with the two lowest. Each owns a
   reference. */
typedef uintptr_t ring_entry;

struct ring {
    ring_entry *entries;
    uint32_t mask, head, tail;       /* head == tail: empty */
};

/* What other threads made ready. */
struct remote {
    pthread_mutex_t lock;
    ring_entry *entries;
    uint32_t count, capacity;
    bool sleeping;                   /* the hub is in, or on its way into, a blocking poll */
};

struct hub {
    struct thread *thread;
    struct ring ring;
    int turns;                       /* switches left before the next poll */
    int calls;                       /* of the kernel, left before one looks whether others wait for a turn */
    bool attention;                  /* something for `home` to see to first */
    bool signals;                    /* a system call was interrupted: run the handlers */
    bool deadlocked;                 /* nothing can end any wait */
    bool closing;                    /* its thread ends */
    bool wakes_for_signals;          /* it is the main thread's: signals.h */
    bool forks_alone;                /* who forks now leaves the others behind */
    const struct fiber *driver;      /* who sleeps in the hub's stead: its address only, it may be gone. Or NULL */
    PyObject *driver_reference;      /* weak, to the driver's object */
    int64_t polled_at;               /* coarse clock */
    uint64_t polls;                  /* how often the poller was asked */
    struct timers timers;
    struct fiber *home;
    GreenletObject *object;          /* the hub greenlet; owned */
    uint32_t unreferenced;           /* timers that keep no join() of the hub waiting, and no LoopExit away */
    struct wait_queue joining;       /* until there is nothing left to wait for */
    Py_ssize_t foreign;              /* promises of other parties to unpark somebody (pool jobs), watches of what they tell */
    struct wait_queue pausing;       /* until a signal comes */
    struct watch *standing[WATCH_KINDS];
    bool prepared;                   /* prepare watches have fired since the last poll that might have slept */
    uint32_t unlisted;               /* fibers made ready that the ring has no entry for yet */
    struct remote remote;
    struct poller poller;
};

/* A call to be made on the hub greenlet: in the ring, or in the timer heap until its time comes. Whichever
   holds it owns a reference. */
typedef struct {
    PyObject_HEAD
    PyObject *function, *args;       /* NULL once stopped or called */
    struct timer timer;
    bool unreferenced;               /* while in the timer heap: nobody counts on it, see hub->unreferenced */
    struct hub *hub;                 /* while in the timer heap */
} CallbackObject;

/* A green thread: a greenlet that the hub starts, and whose end others can wait for. */
typedef struct green_thread_object {
    GreenletObject greenlet;
    bool finished;                   /* value and exception are final; beside the reference count, as a joiner reads it */
    bool identity_asked;             /* somebody may have noted it, as the threading module does */
    PyObject *value, *exception;
    PyObject *traceback;             /* the exception's as it was at the end; or NULL */
    PyObject *spawner;               /* weak reference to the greenlet that made it; NULL for a plain GreenThread */
    CallbackObject *starter;         /* while a start_later() is to come */
    struct wait_queue joiners;
    PyObject *links;                 /* list of callables to be called with it on the hub, or NULL */
    Py_ssize_t links_called;         /* so many at its beginning have been, and are None */
    LocalState own_local;            /* while they are not loaded: own_state.c */
    LoopState own_loop;
} GreenThreadObject;

extern PyTypeObject Hub_Type, GreenThread_Type, Callback_Type, WaitQueue_Type;

/* ---- hub.c ---- */
/* This thread's hub, made at first use. NULL with an exception set. */
struct hub *hub_make(struct thread *thread);

static inline struct hub *
hub_get(void)
{
    struct thread *thread = thread_get();
    if (unlikely(thread == NULL))
        return NULL;
    return likely(thread->hub != NULL) ? thread->hub : hub_make(thread);
}

/* A millisecond for the other threads, for one without a hub that nobody will wake. */
void thread_nap(void);

/* Destructors that run meanwhile find no hub, and cannot make one. */
void hub_free(struct thread *thread);

/* The hub greenlet's loop is about to end: another takes its place. Keeps a pending exception. */
void hub_replace_home(struct hub *hub);
int hub_after_fork(struct hub *hub);

/* In a forked child: nobody but the current fiber goes on, nor do callbacks. What the others hold is theirs for
   ever, as POSIX has it of threads: no code of theirs runs, not even to end them. */
void hub_leave_others(struct hub *hub);

/* ---- ready.c ---- */
/* Appends a READY fiber to the ring; takes over a reference. */
void hub_make_ready(struct hub *hub, struct fiber *fiber);

/* Whether one more entry fits. */
bool hub_has_room(struct hub *hub);

/* Takes over a reference to what is to run on the hub, unless it returns -1, with MemoryError set. From any thread. */
int hub_enqueue(struct hub *hub, ring_entry entry);

/* The fiber goes on before its turn. Returns false when its entry in the ring is left behind, with the reference. */
bool hub_take_unlisted(struct hub *hub, struct fiber *fiber);

/* Has a READY fiber (reference taken over) go on in its own thread. To be called from any thread. */
void hub_make_ready_remotely(struct hub *hub, struct fiber *fiber);

/* Puts a call in the ring; takes over the reference in any case. Returns -1 with MemoryError set. From any thread. */
int hub_call_soon(struct hub *hub, CallbackObject *callback);

/* The same once its time has come. In the hub's thread. */
int hub_call_at(struct hub *hub, CallbackObject *callback, int64_t when);

/* Moves what other threads made ready into the ring. */
void hub_take_remote(struct hub *hub);

/* Announces that this thread is about to sleep, so that others wake it. Returns false when they left something before. */
bool hub_may_sleep(struct hub *hub);

/* The calling greenlet is about to sleep in the hub's stead. Returns -1 with an exception set. */
int hub_driver_is_current(struct hub *hub);

/* The calling greenlet has left something to be done: if the driver, which may be about to sleep, will not hear of it
   from the hub, the hub's descriptor becomes readable. */
void hub_remind_driver(struct hub *hub);

static inline void
hub_tell_driver(struct hub *hub)
{
    if (unlikely(hub->driver != NULL))
        hub_remind_driver(hub);
}

/* ---- hub.c ---- */
/* Makes the call on the hub greenlet and reports what it raises. */
void callback_run(struct hub *hub, CallbackObject *callback);

/* Has the thread end its doomed greenlets soon. Who leaves all switches to the hub makes none that would see to it. */
void hub_end_doomed(struct hub *hub);

/* Tells hub.handle_error(context, type, value, traceback) of the pending exception, which is cleared. */
void hub_report_error(struct hub *hub, PyObject *context);

/* Raises the pending exception in the main greenlet, now or when it runs next. */
void hub_deliver_to_main(struct hub *hub);

/* What Hub.run() does. Returns NULL with an exception set when something was thrown into it. */
PyObject *hub_loop(struct hub *hub);

/* ---- callback.c ---- */
/* A call of `function(*args)`; takes over nothing. New reference, or NULL with an exception set. */
CallbackObject *callback_new(PyObject *function, PyObject *args);

/* Takes a call out of the timer heap, if it is there; true: the caller has the heap's reference. */
bool callback_timer_stop(CallbackObject *callback);

/* ---- park.c: the two ways in and out of waiting ---- */

/* Prepares the current fiber to wait. Returns -1 with BlockingSwitchOutError set on the hub greenlet.
   Between this and hub_park() no Python code may run. */
int hub_prepare(struct hub *hub, enum wait_reason reason, uintptr_t subject);

/* Adds a deadline to the prepared wait. Returns -1 with MemoryError set, the wait cancelled. */
int hub_prepare_deadline(struct hub *hub, int64_t when);

/* Parks the current fiber until it is unparked. Returns an enum wait_outcome, or -1 with an exception
   set: an interrupt, or what was thrown or switched in by somebody who did not wait for an answer. */
int hub_park(struct hub *hub);

/* The same for hub.switch(): whoever switches in brings the answer. */
PyObject *hub_park_for_value(struct hub *hub);

/* Parks the current fiber for so many seconds; 0: until everybody who is ready has had a turn. */
int hub_pause(struct hub *hub, double seconds);

/* For calls that do not wait and may be repeated until something has happened: everybody who is ready has a
   turn if the poller was not asked for POLL_NANOSECONDS. Not on the hub greenlet. Returns 1 when others may have
   run, else 0; -1 with an exception set. */
int hub_give_way(struct hub *hub);

/* The same, once in CALLS_A_LOOK times: before calls of the kernel that may wait and mostly need not. A green thread
   whose calls all succeed at once never parks, and nobody takes the processor away from it. Before the call, so that an
   interrupt meanwhile finds nothing moved. A look costs a clock's reading, so many calls a few microseconds each: those
   who wait do so little longer than POLL_NANOSECONDS. */
static inline int
hub_give_way_at_times(struct hub *hub)
{
    if (likely(--hub->calls > 0))
        return 0;
    hub->calls = CALLS_A_LOOK;
    return hub_give_way(hub);
}

/* Parks the current fiber until nothing is left that could make anybody ready, or the deadline. Outcome, or -1. */
int hub_join(struct hub *hub, int64_t deadline);

/* Parks the current fiber until a signal has come and its handlers have run. */
int hub_wait_signal(struct hub *hub);

/* Ends the wait of `fiber`, from any thread that holds the GIL. */
void hub_unpark(struct fiber *fiber, enum wait_outcome outcome);

/* Ends the wait of a WAITING or READY fiber with `exception`, from any thread that holds the GIL. Returns false when
   it does not wait. */
bool hub_interrupt(struct fiber *fiber, PyObject *exception);

/* The next fiber to run, with the reference that its wait owned: the hub greenlet when something only it
   may do comes first. Polls and sleeps as needed. */
struct fiber *hub_next(struct hub *hub);

/* What hub_next() gave and cannot be switched to yet, for lack of memory: the others have their turns first. */
void hub_put_back(struct hub *hub, struct fiber *fiber);

/* The same, but only one that has not started and comes next; else NULL. */
struct fiber *hub_next_fresh(struct hub *hub);

/* Whoever arrives drops the reference to the green thread that finished just before. Its destructors may wait, and be
   struck by what is meant for the one that runs them: that is raised there, and kept. */
void drop_finished(struct thread *thread);
void drop_of_another(struct thread *thread, GreenletObject *object);

/* What was kept, for the current fiber to raise now; others that came are raised at its next waits. New reference, or
   NULL: nothing. */
PyObject *hub_take_struck(struct hub *hub);

/* Has `exception` raised in the current fiber at its next wait; a Timeout only if that is not cancelled before. */
void hub_put_off(struct hub *hub, PyObject *exception);

/* ---- poll.c ---- */
/* A turn of the hub: a poll, and the watches that go by turns. */
void hub_poll(struct hub *hub, bool may_sleep);

/* A poll that does not sleep, and is no turn. */
void hub_look(struct hub *hub);

/* A turn that somebody else's loop makes: idle watches come where nothing is ready, instead of sleep. */
void hub_turn_driven(struct hub *hub);

/* Waits until `descriptor` is ready. Outcome, or -1 with an exception set. `deadline` INT64_MAX: none. */
int hub_wait_descriptor(struct hub *hub, int descriptor, enum direction direction, int64_t deadline);

/* ---- report.c ---- */
/* The text of LoopExit: who is parked where, waiting for what. New reference. */
PyObject *report_parked(struct hub *hub);

/* ---- own_state.c ---- */
/* The green thread that a fiber is, or whose descendant it is; NULL: its OS thread. */
GreenThreadObject *green_thread_of(const struct fiber *fiber);

/* From now on switches of every thread, also those to come, move the state that belongs to green threads. */
void own_states_move(bool locals_too);

/* The reverse: each OS thread has its own state again, whoever runs in it. */
void own_states_stay(void);

/* The same for one that does not run any more. Only pointers move. */
void own_states_return(struct thread *thread);

/* At the end of a green thread, while it runs: drops what it has, so that destructors run there. */
void own_state_end(GreenThreadObject *object);

int own_state_traverse(GreenThreadObject *object, visitproc visit, void *arg);
void own_state_clear(GreenThreadObject *object);

/* When the object is freed: no thread may go on taking it for the owner of what is loaded. */
void own_state_forget(GreenThreadObject *object);

/* ---- green_thread.c ---- */
/* A new one, not started: function(*args) with no context of its own maker's. `args` is a tuple. */
GreenThreadObject *green_thread_new(struct hub *hub, PyObject *function, PyObject *args);
int green_thread_start(GreenThreadObject *object);

/* The collector may look at it again: it has left the ring. Does nothing where it may already. */
void green_thread_track(GreenletObject *greenlet);

/* Waits for its end or the deadline. Outcome, or -1 with an exception set. */
int green_thread_join(struct hub *hub, GreenThreadObject *object, int64_t deadline);

void *green_thread_main(struct thread *thread, struct fiber *self);

/* One that could not be started, with the pending exception, which becomes its result. */
void green_thread_fail(struct hub *hub, struct fiber *fiber);

/* Ends `greenlet` with `exception` wherever it is: before its start, in its wait, else as soon as it lets the hub
   run. From any thread. 1; 0 when it has ended already; -1 with an exception set. */
int green_thread_throw(GreenletObject *greenlet, PyObject *exception);

/* The same once the hub has its turn again: for one that runs, called somebody who does, or has something else to raise
   first. 1, or -1 with an exception set. */
int green_thread_throw_later(struct hub *hub, GreenletObject *greenlet, PyObject *exception);

PyObject *core_throw_into(PyObject *module, PyObject *args);
PyObject *core_spawn(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *core_join_all(PyObject *module, PyObject *crowd);

/* ---- promise.c ---- */
/* Whether a native thread might unpark somebody: `others` have a thread state, besides the calling one. */
bool threads_may_unpark(Py_ssize_t others);

/* In a forked child: the pool's threads are gone. */
void promises_after_fork(void);
int promises_ready(PyObject *module);

/* ---- hub_type.c ---- */
/* The hub whose greenlet `object` is. NULL with an exception set when it is none, or not any more. */
struct hub *hub_of(PyObject *object);

/* ---- runtime_module.c ---- */
/* A deadline for a timeout in seconds, None for none. Returns -1 with TypeError or ValueError set. */
int deadline_from(PyObject *timeout, int64_t *deadline);

/* Sorts the arguments of `function` into values[], in the order of `names`, of which there are `known`; NULL: not given.
   Borrowed. Returns -1 with TypeError set. */
int arguments_take(const char *function, const char *const *names, Py_ssize_t known, PyObject *const *args,
                   Py_ssize_t count, PyObject *keywords, PyObject **values);

int runtime_ready(PyObject *module);

/* ---- timeout.c ---- */
int timeouts_ready(PyObject *module);

/* Has a Timeout that ended a wait of the current greenlet raised at its next one instead, unless it is cancelled before.
   1; 0 when the exception is no Timeout; -1 with an exception set. */
int timeout_put_off(PyObject *exception);

/* The seconds of a Timeout, or what is no Timeout itself. Borrowed. */
PyObject *timeout_seconds(PyObject *timeout);

/* ---- interface.c ---- */
int interface_add(PyObject *module);

#endif
