/* C stacks ("slots") that greenlets run on, and the pool they come from.

   A slot is an 8 MiB mapping of its own with a guard page below; only touched pages cost memory.
   Invariants:
   - `tenants` counts the started, unfinished fibers whose home is this slot. A fiber never moves: C
     frames hold addresses of each other.
   - `occupant` is the tenant whose frames are in the mapping right now, or NULL. The other tenants'
     frames are copied out (slice.c).
   - A slot belongs to one thread while it has tenants. With none it lies in its thread's list of free
     slots or in the pool that all threads share.
   - The lowest `luggage` bytes may hold slices of other slots' fibers, for which there was no memory elsewhere. They
     are read-only, and the stack ends above them.
   - Below `top - SLOT_KEEP` a canary is written. While it is intact the pages below were never
     touched; a slot that is freed with a broken one gives them back to the system.

   How many slots there are is bounded. Each lies in page tables of its own, so that the processor looks up
   the address of a stack that it has not used for a while in cold memory, several times over; a shallow slice
   is copied in less time, from memory that is close together (docs/switching.md). So the first 128 greenlets
   get a slot each, and those beyond share a few overflow slots of their thread. Of these, one whose slice is
   not shallow keeps its slot and the overflow set gets a new one, while there are fewer than 512; a deep one
   does up to a hard limit that stays well below the system's limit on mappings. */
#ifndef GOSSAMER_STACK_H
#define GOSSAMER_STACK_H

#include "cpython.h"

#ifdef GOSSAMER_VALGRIND
#  include <valgrind/memcheck.h>
#endif

struct fiber;
struct thread;

enum {
    SLOT_GUARD = 4096,
    RED_ZONE = 128,                  /* below the stack pointer, to be used by what calls nothing (x86-64) */
    SLOT_KEEP = 32 * 1024,           /* bytes at the top that stay resident when a slot is freed */
    SLICE_SHALLOW = 2 * 1024,        /* a slice of more bytes than this is kept where it is while slots abound */
    SLICE_DEEP = 16 * 1024,          /* and of more than this as long as there are any to be had */
    OVERFLOW_SLOTS = 16,             /* shared by a thread's latecomers */
    FREE_SLOTS_KEPT = 64,            /* by a thread; more go back to the pool */
    STACK_LEAST = 64 * 1024,         /* what luggage leaves of a stack */
};
#define STACK_SIZE ((size_t)8 << 20)
#define SCRATCH_SIZE ((size_t)64 * 1024)

struct slot {
    struct fiber *occupant;
    char *low, *top;                 /* usable addresses: [low, top) */
    StackLimits limits;
    struct slot *next_free;
    uint32_t tenants;
    uint32_t luggage, luggage_pieces;
    bool recently_used;              /* the second chance before its occupant is copied out */
    bool overflow;                   /* one of its thread's shared slots */
    unsigned valgrind_id;            /* what Valgrind knows the stack by, in a build for it */
};

static inline size_t
slot_size(const struct slot *slot)
{
    return (size_t)(slot->top - slot->low);
}

/* A slot for a fiber about to start in `thread`, whose occupant, if any, is to be copied out first.
   NULL with MemoryError set. Counts the new tenant. */
struct slot *slot_acquire(struct thread *thread);

/* A tenant has finished and left. Frees the slot when it was the last one. */
void slot_release(struct thread *thread, struct slot *slot);

/* Makes a slot the home of its only tenant for as long as that lives. Returns false when there are more. */
bool slot_keep(struct thread *thread, struct slot *slot);

/* Room at the low end of the current fiber's slot, or NULL when it does not fit; kept from being overwritten once it is
   packed. */
char *luggage_take(struct slot *carrier, size_t size);
void luggage_pack(char *place, size_t size);
void luggage_give(struct slot *carrier);

/* Gives all free slots of an ending thread back to the pool. */
void slots_return(struct thread *thread);

/* A stack to run on while slices are exchanged: the top of `SCRATCH_SIZE` bytes, or NULL. */
char *scratch_map(void);

/* How many slots are mapped, in use or not. */
Py_ssize_t slots_mapped(void);

/* The number of slots up to which each greenlet gets one of its own, shallow or not. Read once from the
   environment variable GOSSAMER_STACKS, if it is set. Returns -1 with ValueError set when that is no number in
   1..16384. */
int slot_pool_configure(void);

/* AddressSanitizer keeps its own picture of what lies on a stack; a stack that is left for good, or
   overwritten, must be wiped from it. No-op in other builds. */
void stack_forget_poison(const char *low, const char *high);

/* To Valgrind whatever lies below the pointer of a stack is out of bounds; what is read or written there from elsewhere
   must be opened first. No-op except in builds for it (the option `valgrind`). */
static inline void
stack_make_accessible(const char *low, const char *high)
{
#ifdef GOSSAMER_VALGRIND
    VALGRIND_MAKE_MEM_DEFINED(low, high - low);
#else
    (void)low, (void)high;
#endif
}

#endif
