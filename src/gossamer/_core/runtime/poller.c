/* Registration of descriptors with epoll: see poller.h for the rules. */
#include "poller.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const uint64_t WAKEUP = UINT64_MAX;

static int
poller_open_descriptors(struct poller *poller)
{
    poller->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (poller->epoll < 0)
        return -1;
    poller->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKEUP};
    if (poller->wakeup >= 0 && epoll_ctl(poller->epoll, EPOLL_CTL_ADD, poller->wakeup, &event) == 0)
        return 0;
    int error = errno;
    poller_close(poller);
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
    if (poller->epoll >= 0)
        close(poller->epoll);
    if (poller->wakeup >= 0)
        close(poller->wakeup);
    poller->epoll = poller->wakeup = -1;
    for (int i = 0; i < poller->block_count; i++)
        free(poller->blocks[i]);
    free(poller->blocks);
    poller->blocks = NULL;
    poller->block_count = 0;
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
control(struct poller *poller, int operation, int descriptor, struct pollable *pollable)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u64 = (uint32_t)descriptor | (uint64_t)pollable->generation << 32,
    };
    return epoll_ctl(poller->epoll, operation, descriptor, &event);
}

static int
register_again(struct poller *poller, int descriptor, struct pollable *pollable)
{
    if (pollable->registered && control(poller, EPOLL_CTL_MOD, descriptor, pollable) == 0)
        return 0;
    if (pollable->registered && errno != ENOENT)
        return -1;
    pollable->registered = false;
    pollable->generation++;
    if (control(poller, EPOLL_CTL_ADD, descriptor, pollable) == 0)
        return 0;
    /* somebody left a registration under the same number and file */
    return errno == EEXIST ? control(poller, EPOLL_CTL_MOD, descriptor, pollable) : -1;
}

int
poller_arm(struct poller *poller, int descriptor, struct pollable *pollable)
{
    if (pollable->registered && pollable->owned)
        return 1;
    if (register_again(poller, descriptor, pollable) == 0) {
        pollable->registered = true;
        return 1;
    }
    pollable->registered = false;
    if (errno == EPERM)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

int
poller_after_fork(struct poller *poller)
{
    close(poller->epoll);
    close(poller->wakeup);
    if (poller_open_descriptors(poller) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    for (int block = 0; block < poller->block_count; block++) {
        for (int i = 0; poller->blocks[block] != NULL && i < POLLABLES_A_BLOCK; i++) {
            struct pollable *pollable = &poller->blocks[block][i];
            pollable->registered = false;
            bool waited_for = pollable->waiting[READING].first != NULL || pollable->waiting[WRITING].first != NULL;
            if (waited_for && poller_arm(poller, block * POLLABLES_A_BLOCK + i, pollable) < 0)
                return -1;
        }
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
        return NULL;
    }
    int descriptor = (int)(uint32_t)event->data.u64;
    struct pollable *pollable = &poller->blocks[descriptor / POLLABLES_A_BLOCK][descriptor % POLLABLES_A_BLOCK];
    if (!pollable->registered || pollable->generation != (uint32_t)(event->data.u64 >> 32))
        return NULL;
    ready[READING] = event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    ready[WRITING] = event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    return pollable;
}
