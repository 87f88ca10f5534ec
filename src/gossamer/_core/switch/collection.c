/* Copying a slice out while a garbage collection is parked in it.

   A finalizer that the collector calls may park: a destructor that takes a lock, or a `finally` block of a greenlet
   that is collected. Then the collector's lists run through their heads on that stack. If the slice is copied out,
   whoever frees an object next to a head, or puts one there, would write into the stack of another fiber, and the head
   that comes back would know nothing of it. So the heads move along: the rings are led through the copy, and back.

   Only one collection is ever under way, and no list is walked meanwhile but by it.

   What is a head is not written anywhere: any two words whose neighbours point back at them are one. What points at
   the neighbours may be anything, so the kernel is asked to read from there: it answers for an address that is none
   where this process would crash. */
#include "fiber.h"
#include "cpython/collection.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Reads `*at`, which may be no address at all: not by write(), whose arguments sanitizers look at themselves. */
static bool
link_read(const int pipe[2], uintptr_t at, struct collection_link *link)
{
    return syscall(SYS_write, pipe[1], at, sizeof *link) == sizeof *link
           && read(pipe[0], link, sizeof *link) == sizeof *link;
}

static bool
may_be_object(uintptr_t address)
{
    return address != 0 && address % 16 == 0;
}

static bool
is_head(const int pipe[2], const struct collection_link *head, uintptr_t address)
{
    uintptr_t next = head->next & ~(uintptr_t)COLLECTION_LINK_FLAGS;
    uintptr_t previous = head->previous & ~(uintptr_t)COLLECTION_LINK_FLAGS;
    struct collection_link link;
    return may_be_object(next) && may_be_object(previous)
           && link_read(pipe, next, &link) && (link.previous & ~(uintptr_t)COLLECTION_LINK_FLAGS) == address
           && link_read(pipe, previous, &link) && (link.next & ~(uintptr_t)COLLECTION_LINK_FLAGS) == address;
}

static void
link_set(uintptr_t *link, const void *address)
{
    *link = (uintptr_t)address | (*link & COLLECTION_LINK_FLAGS);
}

/* Leads the ring through `head`, whose bytes lay at `before`. */
static void
head_move(struct collection_link *head, uintptr_t before)
{
    bool empty = head->next == before && head->previous == before;
    struct collection_link *next = (void *)(head->next & ~(uintptr_t)COLLECTION_LINK_FLAGS);
    struct collection_link *previous = (void *)(head->previous & ~(uintptr_t)COLLECTION_LINK_FLAGS);
    link_set(empty ? &head->previous : &next->previous, head);
    link_set(empty ? &head->next : &previous->next, head);
}

/* Returns how many heads there are in the bytes at `to`, which lay at `from` before. */
static uint32_t
heads_move(char *to, const char *from, size_t length)
{
    uint32_t heads = 0;
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return 0;
    for (size_t offset = 0; offset + sizeof(struct collection_link) <= length; offset += sizeof(uintptr_t)) {
        struct collection_link *head = (struct collection_link *)(to + offset);
        uintptr_t before = (uintptr_t)from + offset;
        bool empty = head->next == before && head->previous == before;
        if (empty || is_head(pipe, head, before)) {
            head_move(head, before);
            heads++;
        }
    }
    close(pipe[0]);
    close(pipe[1]);
    return heads;
}

void
collection_copied_out(struct fiber *fiber)
{
    struct copied_slice *copy = fiber->copy;
    copy->heads = collection_is_under_way() ? heads_move(copy->bytes, fiber->sp, copy->length) : 0;
}

void
collection_copied_in(struct fiber *fiber)
{
    struct copied_slice *copy = fiber->copy;
    if (copy->heads == 0)
        return;                      /* it may be luggage, which is not to be written to */
    heads_move(fiber->sp, copy->bytes, copy->length);
    copy->heads = 0;
}
