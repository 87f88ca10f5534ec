/* Memory of fibers, and of green threads: slabs of 2 MiB, which the system may back with huge pages.

   Whoever goes through a crowd of green threads touches each one's fiber, and its object, when it is made, runs and is
   freed. Spread over pages of 4 KiB, a hundred thousand of them need more translations of addresses than a processor
   keeps, and each one that is missing costs as much as a switch. A slab is one translation, and its cells follow each
   other. A cell holds a fiber; that of a green thread the object before it, with what the collector puts before that.

   Invariants:
   - A slab lies at a multiple of its size: the address of a fiber tells its slab.
   - `used` of its cells are in use; the others are linked in `free`, or have never been: those from `fresh` on.
   - A slab is on `partial` of its kind while it has room; the first one there is where the next cell comes from.
   - One slab of a kind without any cell in use is kept at most; others are given back.

   The first slab of a kind asks for no huge page: a program with a handful of greenlets is not to pay for 2 MiB of
   memory. Guarded by the GIL.

   AddressSanitizer sees who uses what malloc() was given back: under it there are no slabs. A free-threaded build's
   collector finds objects by going through its allocator's pages: there objects lie where that wants them. */
#include "fiber.h"
#include "../runtime/hub.h"

#include <stdlib.h>
#include <string.h>

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
#define WHOLE_LINES(size) (((size) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE)

struct slab {
    struct slab *next, *previous;    /* on `partial` */
    struct fiber *free;              /* linked by `next` */
    char *fresh;                     /* a cell's beginning */
    uint32_t used;
    struct cells *kind;
};

static struct cells {
    size_t size, place_of_fiber;
    struct slab *partial;
    uint32_t slabs, empty;
} fibers = {.size = WHOLE_LINES(sizeof(struct fiber))};

static struct slab *
slab_of(const struct fiber *fiber)
{
    return (struct slab *)((uintptr_t)fiber & ~(SLAB_SIZE - 1));
}

static bool
slab_has_room(const struct slab *slab)
{
    return slab->free != NULL || slab->fresh + slab->kind->size <= (char *)slab + SLAB_SIZE;
}

static void
partial_add(struct slab *slab)
{
    slab->previous = NULL;
    slab->next = slab->kind->partial;
    if (slab->next != NULL)
        slab->next->previous = slab;
    slab->kind->partial = slab;
}

static void
partial_remove(struct slab *slab)
{
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        slab->kind->partial = slab->next;
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
slab_new(struct cells *kind)
{
    struct slab *slab = (struct slab *)slab_map();
    if (slab == NULL)
        return NULL;
    madvise(slab, SLAB_SIZE, kind->slabs == 0 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    *slab = (struct slab){.fresh = (char *)slab + WHOLE_LINES(sizeof *slab), .kind = kind};
    kind->slabs++;
    kind->empty++;
    partial_add(slab);
    return slab;
}

static void
slab_free(struct slab *slab)
{
    partial_remove(slab);
    slab->kind->slabs--;
    slab->kind->empty--;
    munmap(slab, SLAB_SIZE);
}

static struct fiber *
cell_take(struct cells *kind)
{
    struct slab *slab = kind->partial != NULL ? kind->partial : slab_new(kind);
    if (slab == NULL)
        return NULL;
    struct fiber *fiber = slab->free;
    if (fiber != NULL) {
        slab->free = fiber->next;
    }
    else {
        fiber = (struct fiber *)(slab->fresh + kind->place_of_fiber);
        slab->fresh += kind->size;
    }
    if (slab->used++ == 0)
        kind->empty--;
    if (!slab_has_room(slab))
        partial_remove(slab);
    return fiber;
}

struct fiber *
fiber_memory_take(void)
{
    return cell_take(&fibers);
}

void
fiber_memory_give(struct fiber *fiber)
{
    struct slab *slab = slab_of(fiber);
    if (!slab_has_room(slab))
        partial_add(slab);
    fiber->next = slab->free;
    slab->free = fiber;
    if (--slab->used == 0 && ++slab->kind->empty > 1)
        slab_free(slab);
}

#endif

/* ---- with the object before the fiber ---- */

#if defined __SANITIZE_ADDRESS__ || defined Py_GIL_DISABLED

GreenletObject *
green_thread_memory_take(void)
{
    return NULL;
}

bool
object_is_with_fiber(const GreenletObject *Py_UNUSED(object))
{
    return false;
}

#else

#define COLLECTORS (2 * sizeof(void *))  /* what the collector has before an object */
#define PLACE_OF_FIBER WHOLE_LINES(COLLECTORS + sizeof(GreenThreadObject))

static struct cells green_threads = {
    .size = PLACE_OF_FIBER + WHOLE_LINES(sizeof(struct fiber)),
    .place_of_fiber = PLACE_OF_FIBER,
};

static GreenletObject *
object_before(const struct fiber *fiber)
{
    return (GreenletObject *)((char *)fiber - PLACE_OF_FIBER + COLLECTORS);
}

GreenletObject *
green_thread_memory_take(void)
{
    struct fiber *fiber = cell_take(&green_threads);
    if (fiber == NULL)
        return NULL;
    memset((char *)fiber - PLACE_OF_FIBER, 0, PLACE_OF_FIBER);
    object_before(fiber)->fiber = fiber;
    return object_before(fiber);
}

bool
object_is_with_fiber(const GreenletObject *object)
{
    return object == object_before(object->fiber);
}

#endif
