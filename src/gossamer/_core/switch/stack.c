/* The pool of C stacks: see stack.h for what a slot is and what holds of it. */
#include "stack.h"
#include "fiber.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#  include <sanitizer/asan_interface.h>
#endif

enum {
    SLOTS_FOR_ALL = 128,
    SLOTS_ROOMY = 512,
    SLOTS_MOST = 16384,              /* two mappings each: half of Linux's default limit of 65530 */
    MAPPINGS_LEFT = 16,              /* for others, when the system's limit on mappings comes near */
    CANARY_WORDS = 4,
    PAGE = 4096,
};

#define HEADROOM ((size_t)64 << 20)  /* address space that stacks leave to others */

/* Shared by all threads of the process: stacks know nothing of interpreters. The lock is only taken
   with the GIL held, so a forked child never finds it locked. */
static struct {
    pthread_mutex_t lock;
    struct slot *free;
    Py_ssize_t mapped;
    Py_ssize_t for_all;              /* up to so many, each greenlet that starts gets one of its own */
    Py_ssize_t roomy;                /* up to so many, one that is not shallow keeps the one it has */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .for_all = SLOTS_FOR_ALL, .roomy = SLOTS_ROOMY};

int
slot_pool_configure(void)
{
    const char *text = getenv("GOSSAMER_STACKS");
    if (text == NULL || *text == '\0')
        return 0;
    char *end;
    errno = 0;
    long wanted = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || wanted < 1 || wanted > SLOTS_MOST) {
        PyErr_Format(PyExc_ValueError,
                     "GOSSAMER_STACKS=%s: must be a whole number from 1 to %d (stacks kept for greenlets)",
                     text, SLOTS_MOST);
        return -1;
    }
    pool.for_all = pool.roomy = wanted;
    return 0;
}

Py_ssize_t
slots_mapped(void)
{
    return __atomic_load_n(&pool.mapped, __ATOMIC_RELAXED);
}

void
stack_forget_poison(const char *low, const char *high)
{
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(low, high - low);
#else
    (void)low, (void)high;
#endif
}

/* Makes a stack known to Valgrind, which else takes a move of the stack pointer from one to another for the growth of
   one, or for the end of many calls. `top` belongs to it: there the pointer of an empty stack is. */
static unsigned
stack_register(const char *low, const char *top)
{
#ifdef GOSSAMER_VALGRIND
    return VALGRIND_STACK_REGISTER(low, top);
#else
    (void)low, (void)top;
    return 0;
#endif
}

static void
stack_deregister(unsigned id)
{
#ifdef GOSSAMER_VALGRIND
    VALGRIND_STACK_DEREGISTER(id);
#else
    (void)id;
#endif
}

static volatile uint64_t *
canary(const struct slot *slot)
{
    return (volatile uint64_t *)(slot->top - SLOT_KEEP - PAGE);
}

/* The words are spread over a page, as a single one may lie in a buffer that was never written. */
static void
canary_set(struct slot *slot)
{
    for (int i = 0; i < CANARY_WORDS; i++)
        canary(slot)[i * (PAGE / CANARY_WORDS / 8)] = (uint64_t)(uintptr_t)slot ^ 0x676f7373616d6572;
}

static bool
canary_is_intact(const struct slot *slot)
{
    for (int i = 0; i < CANARY_WORDS; i++)
        if (canary(slot)[i * (PAGE / CANARY_WORDS / 8)] != ((uint64_t)(uintptr_t)slot ^ 0x676f7373616d6572))
            return false;
    return true;
}

static void
slot_trim(struct slot *slot)
{
    stack_forget_poison(slot->top - SLOT_KEEP - PAGE, slot->top);
    stack_make_accessible(slot->top - SLOT_KEEP - PAGE, slot->top - SLOT_KEEP);
    if (canary_is_intact(slot))
        return;
    char *low = slot->low + slot->luggage;
    stack_forget_poison(low, slot->top);
    madvise(low, (size_t)(slot->top - SLOT_KEEP - low), MADV_DONTNEED);
    canary_set(slot);
}

/* Whether MAPPINGS_LEFT more mappings are to be had, tried on memory that is unmapped afterwards. */
static bool
mappings_split(char *memory)
{
    for (int i = 0; i < MAPPINGS_LEFT / 2; i++)
        if (mprotect(memory + (2 * i + 1) * PAGE, PAGE, PROT_NONE) < 0)
            return false;
    return true;
}

/* Address space for a slot, or NULL. Where that or the number of mappings is limited, stacks leave some
   for everybody else: it is asked for along with the slot and given back at once. (The interpreter does
   not survive that it cannot unmap a chunk of its own at the limit of mappings.) */
static char *
slot_memory_map(size_t headroom)
{
    size_t size = STACK_SIZE + SLOT_GUARD;
    char *base = mmap(NULL, size + headroom, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    bool room = headroom == 0 || mappings_split(base + size);
    if (headroom > 0)
        munmap(base + size, headroom);
    if (!room) {
        munmap(base, size);
        return NULL;
    }
    if (mprotect(base, SLOT_GUARD, PROT_NONE) < 0) {
        munmap(base, size);
        return NULL;
    }
    return base;
}

/* NULL when the system gives no more. */
static struct slot *
slot_map(size_t headroom)
{
    size_t size = STACK_SIZE + SLOT_GUARD;
    struct slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    char *base = slot_memory_map(headroom);
    if (base == NULL) {
        free(slot);
        return NULL;
    }
    /* a huge page under each stack would cost 2 MiB resident for every greenlet */
    madvise(base + SLOT_GUARD, STACK_SIZE, MADV_NOHUGEPAGE);
    slot->low = base + SLOT_GUARD;
    slot->top = base + size;
    slot->limits = stack_limits_of(slot->low, slot->top);
    slot->valgrind_id = stack_register(slot->low, slot->top);
    canary_set(slot);
    __atomic_add_fetch(&pool.mapped, 1, __ATOMIC_RELAXED);
    return slot;
}

static void
slot_unmap(struct slot *slot)
{
    stack_forget_poison(slot->low, slot->top);
    stack_deregister(slot->valgrind_id);
    munmap(slot->low - SLOT_GUARD, STACK_SIZE + SLOT_GUARD);
    __atomic_sub_fetch(&pool.mapped, 1, __ATOMIC_RELAXED);
    free(slot);
}

static struct slot *
pool_take(void)
{
    pthread_mutex_lock(&pool.lock);
    struct slot *slot = pool.free;
    if (slot != NULL)
        pool.free = slot->next_free;
    pthread_mutex_unlock(&pool.lock);
    return slot;
}

static void
pool_put(struct slot *slot)
{
    if (slots_mapped() > pool.roomy && slot->luggage == 0) {
        slot_unmap(slot);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    slot->next_free = pool.free;
    pool.free = slot;
    pthread_mutex_unlock(&pool.lock);
}

/* Whether a slice is rather kept where it is than copied out. */
static bool
is_worth_a_slot(size_t slice)
{
    Py_ssize_t mapped = slots_mapped();
    return slice > SLICE_DEEP ? mapped < SLOTS_MOST : slice > SLICE_SHALLOW && mapped < pool.roomy;
}

/* The thread's next shared slot in turn: an empty one, else one whose occupant had its second chance. */
static struct slot *
overflow_choose(struct thread *thread)
{
    struct slot *choice = NULL;
    for (int turn = 0; turn < 2 * thread->overflow_count; turn++) {
        int index = thread->overflow_hand++ % thread->overflow_count;
        struct slot *slot = thread->overflow[index];
        struct fiber *occupant = slot->occupant;
        if (occupant == NULL)
            return slot;
        choice = slot;
        if (occupant == thread->current)
            continue;
        if (is_worth_a_slot(fiber_slice_size(occupant))) {
            struct slot *fresh = slot_map(HEADROOM);
            if (fresh != NULL) {
                slot->overflow = false;  /* the occupant keeps it */
                fresh->overflow = true;
                return thread->overflow[index] = fresh;
            }
        }
        if (!slot->recently_used)
            return slot;
        slot->recently_used = false;
    }
    return choice;
}

/* A slot that one of the thread's greenlets has for itself, to be shared from now on. */
static struct slot *
home_to_share(const struct thread *thread)
{
    for (const struct fiber *fiber = thread->started; fiber != NULL; fiber = fiber->next)
        if (!fiber->slot->overflow && fiber->pins == 0)
            return fiber->slot;
    return NULL;
}

static struct slot *
free_slot_pop(struct thread *thread)
{
    struct slot *slot = thread->free_slots;
    if (slot != NULL) {
        thread->free_slots = slot->next_free;
        thread->free_slot_count--;
    }
    return slot;
}

/* What other threads keep for their next greenlets. */
static struct slot *
free_slot_of_others(void)
{
    struct slot *slot = NULL;
    for (struct thread *thread = core.threads; thread != NULL && slot == NULL; thread = thread->next)
        slot = free_slot_pop(thread);
    return slot;
}

/* A slot to share. The set grows by one a start until it is complete: by a new slot if the system gives
   one, else by an idle one of another thread, else by one that had a single tenant so far. */
static struct slot *
overflow_acquire(struct thread *thread)
{
    if (thread->overflow_count < OVERFLOW_SLOTS) {
        struct slot *slot = slots_mapped() < SLOTS_MOST ? slot_map(HEADROOM) : NULL;
        if (slot == NULL)
            slot = free_slot_of_others();
        if (slot == NULL)
            slot = home_to_share(thread);
        if (slot == NULL && thread->overflow_count == 0)
            slot = slot_map(0);
        if (slot != NULL) {
            slot->overflow = true;
            thread->overflow[thread->overflow_count++] = slot;
        }
    }
    return thread->overflow_count > 0 ? overflow_choose(thread) : NULL;
}

struct slot *
slot_acquire(struct thread *thread)
{
    struct slot *slot = free_slot_pop(thread);
    while (thread->free_slot_count > FREE_SLOTS_KEPT)
        pool_put(free_slot_pop(thread));
    if (slot == NULL)
        slot = pool_take();
    if (slot == NULL && slots_mapped() < pool.for_all)
        slot = slot_map(HEADROOM);
    if (slot == NULL)
        slot = overflow_acquire(thread);
    if (slot == NULL) {
        PyErr_SetString(PyExc_MemoryError,
                        "no address space for another greenlet stack (8 MiB each; see ulimit -v)");
        return NULL;
    }
    slot->tenants++;
    return slot;
}

/* Often called on the very stack that is released: it may not be unmapped here. */
void
slot_release(struct thread *thread, struct slot *slot)
{
    if (slot->occupant == NULL)
        slot_trim(slot);
    if (--slot->tenants > 0 || slot->overflow)
        return;
    slot->next_free = thread->free_slots;
    thread->free_slots = slot;
    thread->free_slot_count++;
}

bool
slot_keep(struct thread *thread, struct slot *slot)
{
    if (slot->tenants > 1)
        return false;
    for (int i = 0; slot->overflow; i++)
        if (thread->overflow[i] == slot) {
            thread->overflow[i] = thread->overflow[--thread->overflow_count];
            slot->overflow = false;
        }
    return true;
}

/* ---- luggage ---- */

/* What those who are parked need of a slot when they are copied back. Whoever runs on it is about to leave for good. */
static size_t
deepest_slice(const struct slot *slot)
{
    size_t deepest = 0;
    for (const struct fiber *fiber = current_thread->started; fiber != NULL; fiber = fiber->next)
        if (fiber->slot == slot && fiber != current_thread->current && fiber_slice_size(fiber) > deepest)
            deepest = fiber_slice_size(fiber);
    return deepest;
}

char *
luggage_take(struct slot *carrier, size_t size)
{
    size = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (carrier->luggage + size + STACK_LEAST + deepest_slice(carrier) > slot_size(carrier))
        return NULL;
    char *place = carrier->low + carrier->luggage;
    stack_forget_poison(place, place + size);
    stack_make_accessible(place, place + size);
    carrier->luggage += (uint32_t)size;
    carrier->luggage_pieces++;
    carrier->limits = stack_limits_of(carrier->low + carrier->luggage, carrier->top);
    return place;
}

/* So that a stack which overflows into it ends as at a guard page. Without another mapping to be had it is at risk of
   that only. */
void
luggage_pack(char *place, size_t size)
{
    mprotect(place, (size + PAGE - 1) & ~(size_t)(PAGE - 1), PROT_READ);
}

void
luggage_give(struct slot *carrier)
{
    if (--carrier->luggage_pieces > 0)
        return;
    mprotect(carrier->low, carrier->luggage, PROT_READ | PROT_WRITE);
    madvise(carrier->low, carrier->luggage, MADV_DONTNEED);
    carrier->luggage = 0;
    carrier->limits = stack_limits_of(carrier->low, carrier->top);
}

void
slots_return(struct thread *thread)
{
    while (thread->free_slots != NULL)
        pool_put(free_slot_pop(thread));
    for (int i = 0; i < thread->overflow_count; i++) {
        thread->overflow[i]->overflow = false;
        /* Who ran on it was left behind there: by a fork, or at the interpreter's exit, when the thread hangs on it. */
        if (thread->overflow[i]->occupant == NULL)
            pool_put(thread->overflow[i]);
    }
    thread->overflow_count = 0;
}

char *
scratch_map(void)
{
    char *base = mmap(NULL, SCRATCH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    stack_register(base, base + SCRATCH_SIZE);
    return base + SCRATCH_SIZE;
}
