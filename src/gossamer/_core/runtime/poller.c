/* Registration of descriptors with epoll: see poller.h for the rules. */
#include "hub.h"
#include "signals.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const uint64_t WAKEUP = UINT64_MAX;

static void
close_descriptors(struct poller *poller)
{
    if (poller->epoll >= 0)
        close(poller->epoll);
    if (poller->wakeup >= 0)
        close(poller->wakeup);
    poller->epoll = poller->wakeup = -1;
}

static int
poller_open_descriptors(struct poller *poller)
{
    poller->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (poller->epoll < 0)
        return -1;
    poller->reminded = false;
    poller->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKEUP};
    if (poller->wakeup >= 0 && epoll_ctl(poller->epoll, EPOLL_CTL_ADD, poller->wakeup, &event) == 0)
        return 0;
    int error = errno;
    close_descriptors(poller);
    errno = error;
    return -1;
}

int
poller_open(struct poller *poller)
{
    poller->epoll = poller->wakeup = -1;
    if (poller_open_descriptors(poller) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

void
poller_close(struct poller *poller)
{
    close_descriptors(poller);
    for (int i = 0; i < poller->block_count; i++)
        free(poller->blocks[i]);
    free(poller->blocks);
    free(poller->receive_buffer);
    free(poller->changes);
    poller->blocks = NULL;
    poller->changes = NULL;
    poller->change_count = poller->changes_capacity = 0;
    poller->receive_buffer = NULL;
    poller->block_count = 0;
}

char *
poller_receive_buffer(struct poller *poller)
{
    if (poller->receive_buffer == NULL && (poller->receive_buffer = malloc(RECEIVE_BUFFER_SIZE)) == NULL)
        PyErr_NoMemory();
    return poller->receive_buffer;
}

static int
blocks_grow(struct poller *poller, int needed)
{
    int count = poller->block_count > 0 ? poller->block_count : 4;
    while (count < needed)
        count *= 2;
    struct pollable **blocks = realloc(poller->blocks, (size_t)count * sizeof *blocks);
    if (blocks == NULL)
        return -1;
    for (int i = poller->block_count; i < count; i++)
        blocks[i] = NULL;
    poller->blocks = blocks;
    poller->block_count = count;
    return 0;
}

struct pollable *
poller_get(struct poller *poller, int descriptor)
{
    if (descriptor < 0) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    int block = descriptor / POLLABLES_A_BLOCK;
    bool known = block < poller->block_count && poller->blocks[block] != NULL;
    if (!known && fcntl(descriptor, F_GETFD) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);  /* a number out of thin air must not cost a table up to it */
        return NULL;
    }
    if (block >= poller->block_count && blocks_grow(poller, block + 1) < 0) {
        PyErr_NoMemory();
        return NULL;
    }
    if (poller->blocks[block] == NULL
        && (poller->blocks[block] = calloc(POLLABLES_A_BLOCK, sizeof(struct pollable))) == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    return &poller->blocks[block][descriptor % POLLABLES_A_BLOCK];
}

static int
control(struct poller *poller, int operation, int descriptor, const struct pollable *pollable, unsigned directions)
{
    struct epoll_event event = {
        .events = EPOLLET | (directions & 1 << READING ? EPOLLIN | EPOLLRDHUP | EPOLLPRI : 0)
                  | (directions & 1 << WRITING ? EPOLLOUT : 0),
        .data.u64 = (uint32_t)descriptor | (uint64_t)pollable->generation << 32,
    };
    return epoll_ctl(poller->epoll, operation, descriptor, &event);
}

static int
register_again(struct poller *poller, int descriptor, struct pollable *pollable, unsigned directions)
{
    if (pollable->registered && control(poller, EPOLL_CTL_MOD, descriptor, pollable, directions) == 0)
        return 0;
    if (pollable->registered && errno != ENOENT)
        return -1;
    pollable->registered = 0;
    pollable->generation++;
    if (control(poller, EPOLL_CTL_ADD, descriptor, pollable, directions) == 0)
        return 0;
    /* somebody left a registration under the same number and file */
    return errno == EEXIST ? control(poller, EPOLL_CTL_MOD, descriptor, pollable, directions) : -1;
}

int
poller_arm_all(struct poller *poller, int descriptor, struct pollable *pollable, unsigned directions)
{
    if (unlikely(poller->epoll < 0) && poller_reopen(poller) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    directions |= pollable->registered;
    if (register_again(poller, descriptor, pollable, directions) == 0) {
        pollable->registered = (uint8_t)directions;
        return 1;
    }
    pollable->registered = 0;
    if (errno == EPERM)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

int
poller_arm(struct poller *poller, int descriptor, struct pollable *pollable, enum direction direction)
{
    return poller_arm_all(poller, descriptor, pollable, 1u << direction);
}

void
pollable_forget(struct pollable *pollable)
{
    pollable->generation++;
    pollable->registered = 0;
    pollable->owned = pollable->short_means_empty = false;
    pollable->ready[READING] = pollable->ready[WRITING] = false;
}

/* What cannot be watched any more, whoever waits for it finds out by trying. */
static void
register_in_child(struct poller *poller, int descriptor, struct pollable *pollable)
{
    pollable->registered = 0;
    watches_recheck(poller, descriptor, pollable);
    for (int direction = READING; direction <= WRITING; direction++) {
        struct wait_queue *queue = &pollable->waiting[direction];
        if (queue->first == NULL
            || (!pollable->is_the_process_own && poller_arm(poller, descriptor, pollable, direction) == 1))
            continue;
        PyErr_Clear();
        while (queue->first != NULL)
            hub_unpark(queue->first, UNPARKED);
    }
}

int
poller_after_fork(struct poller *poller)
{
    close_descriptors(poller);
    if (poller_reopen(poller) == 0)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

int
poller_reopen(struct poller *poller)
{
    if (poller_open_descriptors(poller) < 0)
        return -1;
    for (int block = 0; block < poller->block_count; block++)
        for (int i = 0; poller->blocks[block] != NULL && i < POLLABLES_A_BLOCK; i++)
            register_in_child(poller, block * POLLABLES_A_BLOCK + i, &poller->blocks[block][i]);
    return 0;
}

static int
make_way(int *place, int descriptor)
{
    if (*place != descriptor)
        return 0;
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (moved < 0)
        return -1;
    *place = moved;
    return 1;
}

/* The old number is not closed: whoever wants it replaces it. The registration of the eventfd is its file's. */
int
pollers_make_way(int descriptor)
{
    for (struct thread *thread = core.threads; thread != NULL; thread = thread->next) {
        struct hub *hub = thread->hub;
        int moved = hub != NULL ? make_way(&hub->poller.epoll, descriptor) : 0;
        if (hub != NULL && moved == 0)
            moved = make_way(&hub->poller.wakeup, descriptor);
        if (moved < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (moved > 0)
            signals_follow(hub);
    }
    return 0;
}

struct pollable *
poller_event(struct poller *poller, const struct epoll_event *event, bool ready[2])
{
    if (event->data.u64 == WAKEUP) {
        uint64_t count;
        while (read(poller->wakeup, &count, sizeof count) < 0 && errno == EINTR)
            ;
        poller->reminded = false;
        return NULL;
    }
    int descriptor = (int)(uint32_t)event->data.u64;
    struct pollable *pollable = &poller->blocks[descriptor / POLLABLES_A_BLOCK][descriptor % POLLABLES_A_BLOCK];
    if (!pollable->registered || pollable->generation != (uint32_t)(event->data.u64 >> 32))
        return NULL;
    ready[READING] = event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    ready[WRITING] = event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    if (event->events & (EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR))
        pollable->short_means_empty = false;
    return pollable;
}
