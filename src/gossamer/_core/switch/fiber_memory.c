/* Memory of fibers: slabs of 2 MiB, which the system may back with huge pages.

   Whoever goes through a crowd of green threads touches each one's fiber when it is made, runs and is freed. Spread over
   pages of 4 KiB, a hundred thousand of them need more translations of addresses than a processor keeps, and each one
   that is missing costs as much as a switch. A slab is one translation, and its fibers follow each other.

   Invariants:
   - A slab lies at a multiple of its size: the address of a fiber tells its slab.
   - `used` of its fibers are in use; the others are linked in `free`, or have never been: those from `fresh` on.
   - A slab is on `partial` while it has room; the first one there is where the next fiber comes from.
   - One slab without any fiber in use is kept at most; others are given back.

   The first slab asks for no huge page: a program with a handful of greenlets is not to pay for 2 MiB of memory.
   Guarded by the GIL. AddressSanitizer sees who uses what malloc() was given back: under it there are no slabs. */
#include "fiber.h"

#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__

struct fiber *
fiber_memory_take(void)
{
    return malloc(sizeof(struct fiber));
}

void
fiber_memory_give(struct fiber *fiber)
{
    free(fiber);
}

#else

#include <sys/mman.h>

#define SLAB_SIZE ((size_t)2 << 20)
#define CELL ((sizeof(struct fiber) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE)

struct slab {
    struct slab *next, *previous;    /* on `partial` */
    struct fiber *free;              /* linked by `next` */
    char *fresh;
    uint32_t used;
};

static struct {
    struct slab *partial;
    uint32_t slabs, empty;
} memory;

static struct slab *
slab_of(const struct fiber *fiber)
{
    return (struct slab *)((uintptr_t)fiber & ~(SLAB_SIZE - 1));
}

static bool
slab_has_room(const struct slab *slab)
{
    return slab->free != NULL || slab->fresh + CELL <= (char *)slab + SLAB_SIZE;
}

static void
partial_add(struct slab *slab)
{
    slab->previous = NULL;
    slab->next = memory.partial;
    if (slab->next != NULL)
        slab->next->previous = slab;
    memory.partial = slab;
}

static void
partial_remove(struct slab *slab)
{
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        memory.partial = slab->next;
}

/* A mapping begins at any page: of one twice as long what lies before and behind the slab is given back. */
static char *
slab_map(void)
{
    char *start = mmap(NULL, 2 * SLAB_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)start & (SLAB_SIZE - 1);
    if (before > 0)
        munmap(start, before);
    munmap(start + before + SLAB_SIZE, SLAB_SIZE - before);
    return start + before;
}

static struct slab *
slab_new(void)
{
    struct slab *slab = (struct slab *)slab_map();
    if (slab == NULL)
        return NULL;
    madvise(slab, SLAB_SIZE, memory.slabs == 0 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    *slab = (struct slab){.fresh = (char *)slab + CELL};
    memory.slabs++;
    memory.empty++;
    partial_add(slab);
    return slab;
}

static void
slab_free(struct slab *slab)
{
    partial_remove(slab);
    memory.slabs--;
    memory.empty--;
    munmap(slab, SLAB_SIZE);
}

struct fiber *
fiber_memory_take(void)
{
    struct slab *slab = memory.partial != NULL ? memory.partial : slab_new();
    if (slab == NULL)
        return NULL;
    struct fiber *fiber = slab->free;
    if (fiber != NULL) {
        slab->free = fiber->next;
    }
    else {
        fiber = (struct fiber *)slab->fresh;
        slab->fresh += CELL;
    }
    if (slab->used++ == 0)
        memory.empty--;
    if (!slab_has_room(slab))
        partial_remove(slab);
    return fiber;
}

void
fiber_memory_give(struct fiber *fiber)
{
    struct slab *slab = slab_of(fiber);
    if (!slab_has_room(slab))
        partial_add(slab);
    fiber->next = slab->free;
    slab->free = fiber;
    if (--slab->used == 0 && ++memory.empty > 1)
        slab_free(slab);
}

#endif
