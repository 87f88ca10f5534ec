/* Events for whoever does not wait: see watch.h. */
#include "hub.h"
#include "watch.h"

#include <errno.h>
#include <stdlib.h>

static struct watch *
watch_of(struct timer *timer)
{
    return (struct watch *)((char *)timer - offsetof(struct watch, timer));
}

/* The hub of the calling thread, if that is `object`. NULL with an exception set. */
static struct hub *
hub_here(PyObject *object)
{
    struct thread *thread = thread_get();
    if (thread == NULL)
        return NULL;
    if (likely(thread->hub != NULL && (PyObject *)thread->hub->object == object))
        return thread->hub;
    if (hub_of(object) != NULL)
        PyErr_SetString(core.error, "a watcher is started in the thread of its loop: this loop is another thread's");
    return NULL;
}

/* ---- into the ring ---- */

/* Without memory for an entry the descriptor is armed again, which reports its event again. No timer expires then. */
static void
watch_queue(struct hub *hub, struct watch *watch)
{
    watch->due = true;
    if (watch->queued)
        return;
    if (unlikely(!hub_has_room(hub))) {
        watches_recheck(&hub->poller, watch->descriptor, poller_find(&hub->poller, watch->descriptor));
        return;
    }
    watch->queued = true;
    Py_INCREF(watch->owner);
    hub_enqueue(hub, (ring_entry)watch | 3);
}

void
watch_entry_forget(struct watch *watch)
{
    watch->queued = watch->due = false;
}

/* ---- time ---- */

int
watch_time(struct watch *watch, PyObject *hub_object, int64_t when, int referenced)
{
    struct hub *hub = hub_here(hub_object);
    if (hub == NULL)
        return -1;
    watch_stop(watch);
    if (timers_add(&hub->timers, &watch->timer, when) < 0)
        return -1;
    watch->timer.owner = TIMER_OF_WATCH;
    watch->hub = hub;
    watch->when = when;
    watch->unreferenced = !referenced;
    hub->unreferenced += watch->unreferenced;
    Py_INCREF(watch->owner);
    hub_tell_driver(hub);
    return 0;
}

static void
time_is_over(struct watch *watch)
{
    watch->hub->unreferenced -= watch->unreferenced;
    watch->hub = NULL;
}

void
watch_expired(struct hub *hub, struct timer *timer)
{
    struct watch *watch = watch_of(timer);
    time_is_over(watch);
    watch->came = 0;                 /* also if somebody has told of it */
    watch_queue(hub, watch);
    Py_DECREF(watch->owner);         /* the heap's */
}

void
watch_timer_leave(struct timer *timer)
{
    time_is_over(watch_of(timer));
}

void
watch_timer_drop(struct timer *timer)
{
    struct watch *watch = watch_of(timer);
    time_is_over(watch);
    Py_DECREF(watch->owner);
}

/* ---- descriptors ---- */

/* The list has room for every descriptor that is watched, so that noting one needs no memory. A descriptor that was noted
   stays there until the next poll, whether or not it is watched any more. */
static int
changes_make_room(struct poller *poller)
{
    int capacity = poller->changes_capacity;
    if (poller->watched + poller->change_count < capacity)
        return 0;
    while (capacity <= poller->watched + poller->change_count)
        capacity = capacity > 0 ? capacity * 2 : 16;
    int *changes = realloc(poller->changes, (size_t)capacity * sizeof *changes);
    if (changes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    poller->changes = changes;
    poller->changes_capacity = capacity;
    return 0;
}

void
watches_recheck(struct poller *poller, int descriptor, struct pollable *pollable)
{
    if (pollable->watches == NULL || pollable->changed)
        return;
    pollable->changed = true;
    poller->changes[poller->change_count++] = descriptor;
}

int
watch_descriptor(struct watch *watch, PyObject *hub_object, int descriptor, int events, int referenced)
{
    struct hub *hub = hub_here(hub_object);
    struct pollable *pollable = hub != NULL ? poller_get(&hub->poller, descriptor) : NULL;
    if (pollable == NULL || changes_make_room(&hub->poller) < 0)
        return -1;
    watch_stop(watch);
    watch->hub = hub;
    watch->descriptor = descriptor;
    watch->events = (uint8_t)events;
    watch->came = 0;
    watch->unreferenced = !referenced;
    watch->previous = NULL;
    watch->next = pollable->watches;
    if (watch->next != NULL)
        watch->next->previous = watch;
    pollable->watches = watch;
    hub->poller.watched++;
    hub->poller.waiting += !watch->unreferenced;
    watches_recheck(&hub->poller, descriptor, pollable);
    Py_INCREF(watch->owner);
    hub_tell_driver(hub);
    return 0;
}

static void
unlink_from_pollable(struct watch *watch)
{
    struct poller *poller = &watch->hub->poller;
    if (watch->previous != NULL)
        watch->previous->next = watch->next;
    else
        poller_find(poller, watch->descriptor)->watches = watch->next;
    if (watch->next != NULL)
        watch->next->previous = watch->previous;
    poller->watched--;
    poller->waiting -= !watch->unreferenced;
    watch->events = 0;
    watch->hub = NULL;
}

static void
watch_came(struct hub *hub, struct watch *watch, int events)
{
    watch->came = events < 0 || watch->came < 0 ? events : watch->came | events;
    watch_queue(hub, watch);
}

void
watches_came(struct hub *hub, struct pollable *pollable, int directions)
{
    for (struct watch *watch = pollable->watches; watch != NULL; watch = watch->next)
        if (watch->events & directions)
            watch_came(hub, watch, watch->events & directions);
}

static void
watches_fail(struct hub *hub, struct pollable *pollable)
{
    int error = errno;
    PyErr_Clear();
    for (struct watch *watch = pollable->watches; watch != NULL; watch = watch->next)
        watch_came(hub, watch, -error);
}

static void
pollable_arm(struct hub *hub, int descriptor, struct pollable *pollable)
{
    unsigned events = 0;
    for (struct watch *watch = pollable->watches; watch != NULL; watch = watch->next)
        events |= watch->events;
    if (events == 0)
        return;
    int armed = poller_arm_all(&hub->poller, descriptor, pollable, events);
    if (armed < 0)
        watches_fail(hub, pollable);
    else if (armed == 0)
        watches_came(hub, pollable, WATCH_READING | WATCH_WRITING);  /* of a kind that is always ready */
}

void
watches_arm(struct hub *hub)
{
    struct poller *poller = &hub->poller;
    while (poller->change_count > 0 && hub_has_room(hub)) {
        int descriptor = poller->changes[--poller->change_count];
        struct pollable *pollable = poller_find(poller, descriptor);
        pollable->changed = false;
        pollable_arm(hub, descriptor, pollable);
    }
}

/* ---- others, and the hub's turns ---- */

int
watch_stand(struct watch *watch, PyObject *hub_object, int kind, int referenced)
{
    struct hub *hub = hub_here(hub_object);
    if (hub == NULL)
        return -1;
    watch_stop(watch);
    watch->hub = hub;
    watch->kind = (uint8_t)kind;
    watch->came = 0;
    watch->unreferenced = !referenced;
    hub->foreign += !watch->unreferenced;
    watch->previous = NULL;
    watch->next = hub->standing[kind];
    if (watch->next != NULL)
        watch->next->previous = watch;
    hub->standing[kind] = watch;
    Py_INCREF(watch->owner);
    hub_tell_driver(hub);
    return 0;
}

static void
unlink_from_hub(struct watch *watch)
{
    struct hub *hub = watch->hub;
    if (watch->previous != NULL)
        watch->previous->next = watch->next;
    else
        hub->standing[watch->kind] = watch->next;
    if (watch->next != NULL)
        watch->next->previous = watch->previous;
    hub->foreign -= !watch->unreferenced;
    watch->kind = 0;
    watch->hub = NULL;
}

int
watch_tell(struct watch *watch, PyObject *hub_object)
{
    struct hub *hub = watch->hub != NULL ? watch->hub : hub_of(hub_object);
    if (hub == NULL)
        return -1;
    watch->came = watch->came < 0 ? watch->came : watch->came | WATCH_TOLD;
    watch->due = true;
    if (watch->queued)
        return 0;
    watch->queued = true;
    Py_INCREF(watch->owner);
    if (hub_enqueue(hub, (ring_entry)watch | 3) == 0)
        return 0;
    watch->queued = watch->due = false;
    Py_DECREF(watch->owner);
    return -1;
}

void
watches_of_turn(struct hub *hub, enum watch_kind kind)
{
    for (struct watch *watch = hub->standing[kind]; watch != NULL && hub_has_room(hub); watch = watch->next)
        watch_queue(hub, watch);
}

/* ---- all ---- */

void
watch_stop(struct watch *watch)
{
    watch->due = false;
    struct hub *hub = watch->hub;
    if (hub == NULL)
        return;
    if (watch->events != 0) {
        unlink_from_pollable(watch);
    }
    else if (watch->kind != 0) {
        unlink_from_hub(watch);
    }
    else {
        timers_remove(&hub->timers, &watch->timer);
        time_is_over(watch);
    }
    Py_DECREF(watch->owner);
}

void
watch_refer(struct watch *watch, int referenced)
{
    struct hub *hub = watch->hub;
    if (hub == NULL || watch->unreferenced == !referenced)
        return;
    int change = referenced ? 1 : -1;
    watch->unreferenced = !referenced;
    if (watch->events != 0)
        hub->poller.waiting += change;
    else if (watch->kind != 0)
        hub->foreign += change;
    else
        hub->unreferenced -= (uint32_t)change;
}

void
watch_run(struct hub *hub, struct watch *watch)
{
    PyObject *owner = watch->owner;
    watch->queued = false;
    if (watch->due) {
        int came = watch->came;
        watch->due = false;
        watch->came = 0;
        hub->attention = true;       /* as for callbacks: see callback_run() */
        if (watch->fire(owner, came) < 0)
            hub_report_error(hub, owner);
        hub->attention = hub->signals || hub->deadlocked;
        if (watch->events != 0)
            watches_recheck(&watch->hub->poller, watch->descriptor, poller_find(&watch->hub->poller, watch->descriptor));
    }
    Py_DECREF(owner);
}

static struct pollable *
next_watched(const struct poller *poller, int *place)
{
    for (; *place < poller->block_count * POLLABLES_A_BLOCK; ++*place) {
        struct pollable *block = poller->blocks[*place / POLLABLES_A_BLOCK];
        if (block == NULL)
            *place += POLLABLES_A_BLOCK - 1;
        else if (block[*place % POLLABLES_A_BLOCK].watches != NULL)
            return &block[*place % POLLABLES_A_BLOCK];
    }
    return NULL;
}

void
watches_leave(struct hub *hub)
{
    struct pollable *pollable;
    for (int kind = 0; kind < WATCH_KINDS; kind++)
        while (hub->standing[kind] != NULL)
            unlink_from_hub(hub->standing[kind]);
    for (int place = 0; (pollable = next_watched(&hub->poller, &place)) != NULL;)
        unlink_from_pollable(pollable->watches);
}

void
watches_drop(struct hub *hub)
{
    struct pollable *pollable;
    for (int kind = 0; kind < WATCH_KINDS; kind++) {
        while (hub->standing[kind] != NULL) {
            struct watch *watch = hub->standing[kind];
            unlink_from_hub(watch);
            Py_DECREF(watch->owner);
        }
    }
    for (int place = 0; (pollable = next_watched(&hub->poller, &place)) != NULL;) {
        struct watch *watch = pollable->watches;
        unlink_from_pollable(watch);
        Py_DECREF(watch->owner);
    }
}
