/* Deadlines: a 4-ary heap on CLOCK_MONOTONIC, in nanoseconds.

   Adding and removing cost O(log n) with n timers; what is in the heap knows its place, so one that is
   cancelled leaves nothing behind. Equal deadlines expire in no particular order: nobody may rely on
   more than "not before its time". */
#ifndef GOSSAMER_TIMERS_H
#define GOSSAMER_TIMERS_H

#include "wait.h"

#include <time.h>

struct timer_entry {
    int64_t when;
    struct timer *timer;
};

struct timers {
    struct timer_entry *heap;
    uint32_t count, capacity;
};

static inline int64_t
clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A point in time `seconds` from now; further than the clock goes is as good as never. */
int64_t deadline_after(double seconds);

/* Returns -1 with MemoryError set. */
int timers_add(struct timers *timers, struct timer *timer, int64_t when);
void timers_remove(struct timers *timers, struct timer *timer);

/* The first timer if its time has come at `now`, removed from the heap; else NULL. */
struct timer *timers_expired(struct timers *timers, int64_t now);

#endif
