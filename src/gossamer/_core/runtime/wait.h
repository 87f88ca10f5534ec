/* Waiting, as a fiber sees it. The only two ways in and out are hub_park() and hub_unpark().

   A fiber's wait is in one of three states:

       NOT_WAITING --park--> WAITING --unpark, timeout, interrupt--> READY --its turn--> NOT_WAITING

   Invariants:
   - While WAITING or READY, the wait owns one reference to the fiber's object: the one that
     thread->current held while it ran. It goes back there when the fiber goes on. Nothing else has to
     keep a waiting green thread alive, and no reference is counted on the way.
   - WAITING: the fiber stands in at most one wait queue, and in the timer heap if it has a deadline.
     READY: in neither, but in its hub's ready ring; or `unlisted`, where there is no memory for the ring to grow.
   - `interrupt` is raised by whoever the fiber called to wait, in place of an answer.
   - Somebody who knows the greenlet can always switch into it explicitly. It finds itself running while
     still WAITING or READY, and takes itself out of wherever it stood (hub_arrive). A ring entry left
     behind then is stale, and skipped. */
#ifndef GOSSAMER_WAIT_H
#define GOSSAMER_WAIT_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

struct fiber;

/* FIFO of waiting fibers, linked through their `wait`. All zero is an empty one. */
struct wait_queue {
    struct fiber *first, *last;
    Py_ssize_t length;
};

enum wait_state { NOT_WAITING, WAITING, READY };

/* Why a wait ended. */
enum wait_outcome {
    UNPARKED,
    TIMED_OUT,
    DESCRIPTOR_CLOSED,
};

/* What is waited for, for reports. `subject` is a descriptor, or an object that outlives the wait. */
enum wait_reason {
    FOR_HUB,                         /* hub.switch(): whoever switches back */
    FOR_TURN,                        /* ready, and waiting for its turn */
    FOR_TIME,
    FOR_READING,                     /* subject: descriptor */
    FOR_WRITING,
    FOR_QUEUE,                       /* subject: what the wait queue's owner said it is, or NULL */
    FOR_GREEN_THREAD,                /* subject: the one that is joined */
};

/* Whose part a timer is. */
enum timer_owner { TIMER_OF_CALL, TIMER_OF_FIBER, TIMER_OF_WATCH };

/* Of watches that stand in the hub's lists (watch.h): what others tell of, and what goes by its turns. */
enum watch_kind { WATCH_OF_OTHERS = 1, WATCH_IDLE, WATCH_PREPARE, WATCH_CHECK, WATCH_KINDS };

/* Something in the timer heap: part of a CallbackObject, of a fiber's wait, or of a watch. */
struct timer {
    uint32_t place;                  /* 1 + index in the heap; 0: not in it */
    uint32_t owner;                  /* enum timer_owner */
};

struct wait {
    uint8_t state;                   /* enum wait_state */
    uint8_t outcome;                 /* enum wait_outcome */
    uint8_t reason;                  /* enum wait_reason */
    bool unlisted;                   /* READY, and counted in hub->unlisted: the ring has had no place for it yet */
    struct timer timer;
    uint32_t throws_to_come;         /* callbacks of green_thread_throw_later(): whoever throws next waits behind them */
    struct wait_queue *queue;
    struct fiber *next, *previous;   /* in `queue` */
    PyObject *interrupt;             /* owned exception, or NULL */
    uintptr_t subject;
};

void wait_queue_append(struct wait_queue *queue, struct fiber *fiber);
void wait_queue_prepend(struct wait_queue *queue, struct fiber *fiber);
void wait_queue_remove(struct fiber *fiber);

#endif
