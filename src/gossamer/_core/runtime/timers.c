/* The heap of deadlines: see timers.h. */
#include "timers.h"

#include <stdlib.h>

enum { CHILDREN = 4 };

int64_t
deadline_after(double seconds)
{
    double nanoseconds = seconds * 1e9;
    if (!(nanoseconds < 9e18))
        return INT64_MAX;
    return clock_now() + (nanoseconds > 0 ? (int64_t)nanoseconds : 0);
}

static void
place(struct timers *timers, uint32_t index, struct timer_entry entry)
{
    timers->heap[index] = entry;
    entry.timer->place = index + 1;
}

static void
sift_up(struct timers *timers, uint32_t index, struct timer_entry entry)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / CHILDREN;
        if (timers->heap[parent].when <= entry.when)
            break;
        place(timers, index, timers->heap[parent]);
        index = parent;
    }
    place(timers, index, entry);
}

static void
sift_down(struct timers *timers, uint32_t index, struct timer_entry entry)
{
    for (;;) {
        uint32_t first = index * CHILDREN + 1, least = first;
        if (first >= timers->count)
            break;
        for (uint32_t child = first + 1; child < first + CHILDREN && child < timers->count; child++)
            if (timers->heap[child].when < timers->heap[least].when)
                least = child;
        if (timers->heap[least].when >= entry.when)
            break;
        place(timers, index, timers->heap[least]);
        index = least;
    }
    place(timers, index, entry);
}

int
timers_add(struct timers *timers, struct timer *timer, int64_t when)
{
    if (timers->count == timers->capacity) {
        uint32_t capacity = timers->capacity > 0 ? timers->capacity * 2 : 64;
        struct timer_entry *heap = realloc(timers->heap, capacity * sizeof *heap);
        if (heap == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        timers->heap = heap;
        timers->capacity = capacity;
    }
    sift_up(timers, timers->count++, (struct timer_entry){when, timer});
    return 0;
}

void
timers_remove(struct timers *timers, struct timer *timer)
{
    if (timer->place == 0)
        return;
    uint32_t index = timer->place - 1;
    timer->place = 0;
    struct timer_entry last = timers->heap[--timers->count];
    if (index == timers->count)
        return;
    if (index > 0 && timers->heap[(index - 1) / CHILDREN].when > last.when)
        sift_up(timers, index, last);
    else
        sift_down(timers, index, last);
}

struct timer *
timers_expired(struct timers *timers, int64_t now)
{
    if (timers->count == 0 || timers->heap[0].when > now)
        return NULL;
    struct timer *timer = timers->heap[0].timer;
    timers_remove(timers, timer);
    return timer;
}
