/* Copying a parked fiber's stack slice out of its slot, and back to the same addresses.

   A slice goes to a block on the heap. Where there is no memory for that the switch is not made and raises MemoryError. A
   finished fiber cannot stay, though: what has to make room for its heir goes along as *luggage*, at the low end of the
   stack that the finished one has left, until it is copied back.

   Facts: C frames point at each other, so a slice only works where it was made. On 3.12 and later some
   of the interpreter's frames lie in the slice; while it is elsewhere, `f_back` and the collector must
   not find them, so the links to them are cut, and kept behind the copied bytes to be mended later. */
#include "fiber.h"
#include "swap.h"

#include <stdlib.h>
#include <string.h>

static size_t
aligned(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

static FrameLink *
links_of(struct copied_slice *copy)
{
    return (FrameLink *)(copy->bytes + aligned(copy->length));
}

/* In place of the capacity of one that is luggage. */
#define LUGGAGE 0

static struct slot **
carrier_of(struct copied_slice *copy)
{
    return (struct slot **)copy - 1;
}

static int
copy_resize(struct fiber *fiber, size_t needed)
{
    /* kept from the last time when it fits well: slices are right-sized, but not to the byte */
    if (fiber->copy != NULL && fiber->copy->capacity >= needed && fiber->copy->capacity <= 2 * needed + 512)
        return 0;
    slice_discard(fiber);
    fiber->copy = malloc(sizeof *fiber->copy + needed);
    if (fiber->copy == NULL)
        return -1;
    fiber->copy->capacity = (uint32_t)needed;
    fiber->copy->heads = 0;
    return 0;
}

static int
luggage_reserve(struct fiber *fiber, struct slot *carrier, size_t needed)
{
    char *place = luggage_take(carrier, sizeof(struct slot *) + sizeof *fiber->copy + needed);
    if (place == NULL)
        return -1;
    fiber->copy = (struct copied_slice *)(place + sizeof(struct slot *));
    fiber->copy->capacity = LUGGAGE;
    *carrier_of(fiber->copy) = carrier;
    return 0;
}

/* Room for a copy of a resident fiber's slice: on the heap, or as luggage in `carrier` unless that is NULL. */
static int
room_reserve(struct fiber *fiber, struct slot *carrier)
{
    const struct slot *slot = fiber->slot;
    size_t length = fiber_slice_size(fiber);
    size_t links = frame_links(python_state_frame(&fiber->python, false), slot->low, slot->top, NULL,
                               SIZE_MAX);
    size_t needed = aligned(length) + links * sizeof(FrameLink);
    if ((carrier != NULL ? luggage_reserve(fiber, carrier, needed) : copy_resize(fiber, needed)) < 0)
        return -1;
    fiber->copy->length = (uint32_t)length;
    fiber->copy->links = (uint32_t)links;
    fiber->copy->heads = 0;
    return 0;
}

/* Makes room for a copy of the fiber's slice, so that slice_copy_out cannot fail. Returns -1, without an exception, when
   there is no memory. */
static int
slice_reserve(struct fiber *fiber)
{
    return room_reserve(fiber, NULL);
}

char *
slice_new(struct fiber *fiber, size_t length)
{
    if (copy_resize(fiber, length) < 0) {
        PyErr_NoMemory();
        return NULL;
    }
    fiber->copy->length = (uint32_t)length;
    fiber->copy->links = 0;
    fiber->copy->heads = 0;
    core.copied_out++;
    return fiber->copy->bytes;
}

/* After slice_reserve, with nothing run in between. */
static void
slice_copy_out(struct fiber *fiber)
{
    struct slot *slot = fiber->slot;
    struct copied_slice *copy = fiber->copy;
    python_state_keep_frame(&fiber->python);
    if (copy->links > 0) {
        frame_links(python_state_frame(&fiber->python, true), slot->low, slot->top, links_of(copy),
                    copy->links);
        frame_links_cut(links_of(copy), copy->links, slot->low, slot->top);
    }
    stack_forget_poison(fiber->sp, slot->top);
    memcpy(copy->bytes, fiber->sp, copy->length);
    collection_copied_out(fiber);
    slot->occupant = NULL;
    core.copied_out++;
}

void
slice_copy_in(struct fiber *fiber)
{
    struct copied_slice *copy = fiber->copy;
    stack_forget_poison(fiber->sp, fiber->slot->top);
    stack_make_accessible((char *)fiber->sp - RED_ZONE, fiber->slot->top);
    memcpy(fiber->sp, copy->bytes, copy->length);
    frame_links_mend(links_of(copy), copy->links);
    collection_copied_in(fiber);
    fiber->slot->occupant = fiber;
    core.copied_out--;
    if (copy->capacity == LUGGAGE)
        slice_discard(fiber);
}

/* A collection that is given up for good keeps its lists: others are still in them. */
void
slice_discard(struct fiber *fiber)
{
    struct copied_slice *copy = fiber->copy;
    if (copy != NULL && copy->heads == 0) {
        if (copy->capacity == LUGGAGE)
            luggage_give(*carrier_of(copy));
        else
            free(copy);
    }
    fiber->copy = NULL;
}

int
occupant_copy_out(struct slot *slot)
{
    if (slot->occupant == NULL)
        return 0;
    if (slice_reserve(slot->occupant) < 0)
        return -1;
    slice_copy_out(slot->occupant);
    return 0;
}

int
occupant_copy_into(struct slot *slot, struct slot *carrier)
{
    struct fiber *occupant = slot->occupant;
    slice_discard(occupant);
    if (room_reserve(occupant, carrier) < 0)
        return -1;
    struct copied_slice *copy = occupant->copy;
    slice_copy_out(occupant);
    if (copy->heads > 0)
        return 0;                    /* the lists that go through it are written to */
    luggage_pack((char *)carrier_of(copy), (size_t)((char *)(links_of(copy) + copy->links) - (char *)carrier_of(copy)));
    return 0;
}

/* Runs on the scratch stack, between two fibers that share a slot. */
__attribute__((visibility("hidden"))) void *
slice_exchange(struct fiber *leaving, struct fiber *target)
{
    if (leaving != NULL) {
        if (slice_reserve(leaving) < 0) {
            target->thread->exchange_failed = true;
            return leaving->sp;
        }
        slice_copy_out(leaving);
    }
    slice_copy_in(target);
    return target->sp;
}
