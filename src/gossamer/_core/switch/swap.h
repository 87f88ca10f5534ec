/* The register swap, in assembler: swap_x86_64.S and swap_aarch64.S.

   Saved and restored are the registers that the platform's calling convention lets a callee rely on,
   and the floating-point control words. Each unwinds properly (CFI), and a backtrace of a greenlet ends
   at `fiber_entry`.

   Processors predict returns by pairing them with calls. A life that begins by a return and ends by a call
   leaves that pairing shifted, and each caller further up pays a wrong prediction: a fifth of what a short life
   costs. So a new stack is entered by a jump, and a finished one is left by returning to where it was entered;
   then its last instruction is the return that belongs to the call of swap_stacks_and_enter(). */
#ifndef GOSSAMER_SWAP_H
#define GOSSAMER_SWAP_H

#include <stdint.h>

struct fiber;

/* Saves the running stack's pointer to `*saved` and continues where `target` was saved. */
void swap_stacks(void **saved, void *target);

/* The same for a new stack, whose initial frame lies at `target`. */
void swap_stacks_and_enter(void **saved, void *target);

/* The same by way of a third stack, on which `slice_exchange(leaving, target)` runs before the target's
   stack is entered, and returns the stack pointer to continue with. */
void swap_stacks_via(void **saved, void *scratch, struct fiber *leaving, struct fiber *target);
void *slice_exchange(struct fiber *leaving, struct fiber *target);

/* The outermost function of a new stack: calls fiber_main(), which returns the saved pointer of the stack to
   continue on. */
void fiber_entry(void);
void *fiber_main(void);

/* The saved state that a new stack starts from, lowest word first: as if `fiber_entry` had been about to
   be returned to. Ends with a zero word for debuggers that follow return addresses. */
#if defined(__x86_64__)
#  define INITIAL_FRAME_WORDS 12
static inline void
initial_frame_write(uint64_t *words)
{
    for (int i = 0; i < INITIAL_FRAME_WORDS; i++)
        words[i] = 0;
    __asm__ volatile("stmxcsr (%0)\n\tfnstcw 4(%0)" : : "r"(words) : "memory");
    words[7] = (uint64_t)(uintptr_t)fiber_entry;
}
#elif defined(__aarch64__)
#  define INITIAL_FRAME_WORDS 24
static inline void
initial_frame_write(uint64_t *words)
{
    for (int i = 0; i < INITIAL_FRAME_WORDS; i++)
        words[i] = 0;
    words[11] = (uint64_t)(uintptr_t)fiber_entry;
    __asm__ volatile("mrs %0, fpcr" : "=r"(words[20]));
}
#else
#  error "Gossamer's stack switch exists for x86-64 and aarch64 only"
#endif

/* AddressSanitizer wants to know which stack is running. */
#ifdef __SANITIZE_ADDRESS__
#  include <sanitizer/common_interface_defs.h>
#  define sanitizer_leave(fake_stack, bottom, size) __sanitizer_start_switch_fiber(fake_stack, bottom, size)
#  define sanitizer_arrive(fake_stack) __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL)
#else
#  define sanitizer_leave(fake_stack, bottom, size) ((void)0)
#  define sanitizer_arrive(fake_stack) ((void)0)
#endif

#endif
