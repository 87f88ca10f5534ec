/* The table of addresses that somebody waits on: see parking_lot.h. */
#include "hub.h"

#include <stdlib.h>

enum { FIRST_BUCKETS = 64 };

static size_t
bucket_of(const struct parking_lot *lot, const void *address)
{
    return ((uintptr_t)address * 0x9e3779b97f4a7c15u >> 20) & lot->mask;
}

static struct parking_place *
place_find(const struct parking_lot *lot, const void *address)
{
    struct parking_place *place = lot->buckets != NULL ? lot->buckets[bucket_of(lot, address)] : NULL;
    while (place != NULL && place->address != address)
        place = place->next;
    return place;
}

static int
buckets_grow(struct parking_lot *lot)
{
    size_t count = lot->buckets != NULL ? (lot->mask + 1) * 2 : FIRST_BUCKETS;
    struct parking_place **before = lot->buckets, **buckets = calloc(count, sizeof *buckets);
    size_t before_count = before != NULL ? lot->mask + 1 : 0;
    if (buckets == NULL)
        return -1;
    lot->buckets = buckets;
    lot->mask = count - 1;
    for (size_t i = 0; i < before_count; i++) {
        for (struct parking_place *place = before[i], *next; place != NULL; place = next) {
            size_t bucket = bucket_of(lot, place->address);
            next = place->next;
            place->next = buckets[bucket];
            buckets[bucket] = place;
        }
    }
    free(before);
    return 0;
}

static struct parking_place *
place_take(struct parking_lot *lot, const void *address)
{
    struct parking_place *place = place_find(lot, address);
    if (place == NULL) {
        if ((lot->buckets == NULL || lot->places > lot->mask) && buckets_grow(lot) < 0)
            return NULL;
        place = calloc(1, sizeof *place);
        if (place == NULL)
            return NULL;
        size_t bucket = bucket_of(lot, address);
        place->address = address;
        place->next = lot->buckets[bucket];
        lot->buckets[bucket] = place;
        lot->places++;
    }
    place->parkers++;
    lot->waiting++;
    return place;
}

static void
place_give(struct parking_lot *lot, struct parking_place *place)
{
    lot->waiting--;
    if (--place->parkers > 0)
        return;
    struct parking_place **link = &lot->buckets[bucket_of(lot, place->address)];
    while (*link != place)
        link = &(*link)->next;
    *link = place->next;
    lot->places--;
    free(place);
}

int
parking_lot_park(struct hub *hub, PyObject *object, int64_t deadline, bool again)
{
    struct parking_place *place = place_take(&core.lot, object);
    if (place == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    int outcome = hub_prepare(hub, FOR_QUEUE, (uintptr_t)object);
    if (outcome == 0) {
        if (again)
            wait_queue_prepend(&place->queue, hub->thread->current);
        else
            wait_queue_append(&place->queue, hub->thread->current);
        outcome = hub_prepare_deadline(hub, deadline) < 0 ? -1 : hub_park(hub);
    }
    place_give(&core.lot, place);
    return outcome;
}

void
parking_lot_unpark_slowly(const void *object)
{
    struct parking_place *place = place_find(&core.lot, object);
    if (place != NULL && place->queue.first != NULL)
        hub_unpark(place->queue.first, UNPARKED);
}
