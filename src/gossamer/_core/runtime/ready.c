/* Who is ready to run: the ring, those it has no entry for, and what other threads leave for it. See hub.h.

   A loop of somebody else's may drive the hub (`hub->driver`): it sleeps in its own call of the kernel, with the hub's
   epoll descriptor among others. Its code makes green threads ready, and parks without knowing it, as in
   threading.Thread.start(); the hub then runs behind its back. So whatever the driver leaves to be done, and each wait
   of its own that the hub has run meanwhile, makes that descriptor readable until the next poll. So does what is left
   by a greenlet that the driver has switched to by hand, and that will switch back without the hub: as long as the
   driver does not wait, nobody else runs in this thread. */
#include "hub.h"
#include "../switch/cpython/attributes.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
wake_up(struct hub *hub)
{
    uint64_t one = 1;
    if (unlikely(hub->poller.wakeup < 0))
        return;                      /* after a fork with no descriptors left it looks often enough by itself */
    if (write(hub->poller.wakeup, &one, sizeof one) < 0)
        Py_FatalError("gossamer: cannot write to the hub's eventfd; was it closed?");
}

int
hub_driver_is_current(struct hub *hub)
{
    struct fiber *self = hub->thread->current;
    PyObject *object = (PyObject *)self->object;
    if (hub->driver != self || !refers_to(hub->driver_reference, object)) {
        PyObject *reference = PyWeakref_NewRef(object, NULL);
        if (reference == NULL)
            return -1;
        Py_XSETREF(hub->driver_reference, reference);
        hub->driver = self;
    }
    return 0;
}

/* Whether the driver goes on without a turn of the hub's. */
static bool
driver_does_not_wait(const struct hub *hub)
{
    if (hub->thread->current == hub->driver)
        return true;
    PyObject *object = referent(hub->driver_reference);
    const struct fiber *driver = object != NULL ? ((GreenletObject *)object)->fiber : NULL;
    return driver != NULL && driver->state == STARTED && driver->wait.state == NOT_WAITING;
}

void
hub_remind_driver(struct hub *hub)
{
    if (hub->poller.reminded || !driver_does_not_wait(hub))
        return;
    hub->poller.reminded = true;
    wake_up(hub);
}

/* ---- the ring ---- */

static bool
ring_grow(struct ring *ring)
{
    uint32_t count = ring->tail - ring->head, capacity = (ring->mask + 1) * 2;
    ring_entry *entries = malloc(capacity * sizeof *entries);
    if (entries == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        entries[i] = ring->entries[(ring->head + i) & ring->mask];
    free(ring->entries);
    *ring = (struct ring){entries, capacity - 1, 0, count};
    return true;
}

bool
hub_has_room(struct hub *hub)
{
    struct ring *ring = &hub->ring;
    return likely(ring->tail - ring->head <= ring->mask) || ring_grow(ring);
}

static void
ring_append(struct ring *ring, ring_entry entry)
{
    ring->entries[ring->tail++ & ring->mask] = entry;
}

/* ---- without memory for an entry ---- */

static void
leave_unlisted(struct hub *hub, struct fiber *fiber)
{
    fiber->wait.unlisted = true;
    hub->unlisted++;
}

bool
hub_take_unlisted(struct hub *hub, struct fiber *fiber)
{
    if (likely(!fiber->wait.unlisted))
        return false;
    fiber->wait.unlisted = false;
    hub->unlisted--;
    return true;
}

static void
list_again(struct hub *hub, struct fiber *fiber)
{
    if (!hub_take_unlisted(hub, fiber))
        return;
    timers_remove(&hub->timers, &fiber->wait.timer);
    hub_make_ready(hub, fiber);
}

static void
list_unlisted(struct hub *hub)
{
    if (hub_has_room(hub))
        list_again(hub, hub->thread->main);
    for (struct fiber *fiber = hub->thread->started; fiber != NULL && hub->unlisted > 0 && hub_has_room(hub);
         fiber = fiber->next)
        list_again(hub, fiber);
}

void
hub_make_ready(struct hub *hub, struct fiber *fiber)
{
    if (likely(hub_has_room(hub)))
        ring_append(&hub->ring, (ring_entry)fiber);
    else
        leave_unlisted(hub, fiber);
    hub_tell_driver(hub);
}

/* ---- from other threads ---- */

static bool
remote_has_room(struct remote *remote)
{
    if (remote->count < remote->capacity)
        return true;
    uint32_t capacity = remote->capacity > 0 ? remote->capacity * 2 : 16;
    ring_entry *entries = realloc(remote->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return false;
    remote->entries = entries;
    remote->capacity = capacity;
    return true;
}

/* Returns false when there is no memory for it. */
static bool
remote_append(struct hub *hub, ring_entry entry)
{
    struct remote *remote = &hub->remote;
    pthread_mutex_lock(&remote->lock);
    bool room = remote_has_room(remote);
    if (room)
        remote->entries[remote->count++] = entry;
    bool wake = remote->sleeping || (hub->driver != NULL && remote->count <= 1);
    remote->sleeping = false;
    pthread_mutex_unlock(&remote->lock);
    if (wake)
        wake_up(hub);
    return room;
}

void
hub_make_ready_remotely(struct hub *hub, struct fiber *fiber)
{
    if (unlikely(!remote_append(hub, (ring_entry)fiber)))
        leave_unlisted(hub, fiber);
}

/* As many as the ring has places for; the others are taken the next time. */
static void
take_entries(struct hub *hub, struct remote *remote)
{
    uint32_t taken = 0;
    for (; taken < remote->count && hub_has_room(hub); taken++) {
        ring_entry entry = remote->entries[taken];
        /* one that went on meanwhile may wait again, with another deadline */
        if (!(entry & 1) && ((struct fiber *)entry)->wait.state == READY)
            timers_remove(&hub->timers, &((struct fiber *)entry)->wait.timer);
        ring_append(&hub->ring, entry);
    }
    remote->count -= taken;
    memmove(remote->entries, remote->entries + taken, remote->count * sizeof *remote->entries);
}

void
hub_take_remote(struct hub *hub)
{
    struct remote *remote = &hub->remote;
    if (unlikely(hub->unlisted > 0))
        list_unlisted(hub);
    if (__atomic_load_n(&remote->count, __ATOMIC_RELAXED) == 0)
        return;
    pthread_mutex_lock(&remote->lock);
    take_entries(hub, remote);
    pthread_mutex_unlock(&remote->lock);
}

int
hub_enqueue(struct hub *hub, ring_entry entry)
{
    bool here = hub->thread == current_thread;
    if (unlikely(here ? !hub_has_room(hub) : !remote_append(hub, entry))) {
        PyErr_NoMemory();
        return -1;
    }
    if (here) {
        ring_append(&hub->ring, entry);
        hub_tell_driver(hub);
    }
    return 0;
}

int
hub_call_soon(struct hub *hub, CallbackObject *callback)
{
    if (likely(hub_enqueue(hub, (ring_entry)callback | 1) == 0))
        return 0;
    Py_DECREF(callback);
    return -1;
}

int
hub_call_at(struct hub *hub, CallbackObject *callback, int64_t when)
{
    if (timers_add(&hub->timers, &callback->timer, when) < 0) {
        Py_DECREF(callback);
        return -1;
    }
    callback->hub = hub;
    hub_tell_driver(hub);
    return 0;
}

bool
hub_may_sleep(struct hub *hub)
{
    struct remote *remote = &hub->remote;
    pthread_mutex_lock(&remote->lock);
    remote->sleeping = remote->count == 0;
    bool may = remote->sleeping;
    pthread_mutex_unlock(&remote->lock);
    return may;
}
