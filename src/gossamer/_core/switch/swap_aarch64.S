/* The register swap for aarch64, AAPCS64 calling convention: see swap.h.

   A parked stack looks like this from its saved pointer upwards:
       x19..x28 | x29 x30 (return address) | d8..d15 | fpcr, padding
   The CFI finds the registers in these places on either side of the exchange, as both stacks have them there.

   Branch protection (-mbranch-protection). Each function begins with a landing pad, and the object says that it may
   be used where indirect branches are checked (BTI). Return addresses are not signed here: that of a new stack is
   written by hand. Those of our callers may be signed: we return to them with the stack pointer that they signed for.
   Nothing is said of guarded control stacks: an exchange of stacks would have to exchange those as well. */
#if defined(__aarch64__)

#if defined(__ARM_FEATURE_BTI_DEFAULT)
#  define LANDING_PAD hint #34
#else
#  define LANDING_PAD
#endif

        .text

        .macro  save first, second, place
        stp     \first, \second, [sp, #\place]
        .cfi_rel_offset \first, \place
        .cfi_rel_offset \second, \place + 8
        .endm

        .macro  restore first, second, place
        ldp     \first, \second, [sp, #\place]
        .cfi_restore \first
        .cfi_restore \second
        .endm

        .macro  save_registers
        sub     sp, sp, #176
        .cfi_adjust_cfa_offset 176
        save    x19, x20, 0
        save    x21, x22, 16
        save    x23, x24, 32
        save    x25, x26, 48
        save    x27, x28, 64
        save    x29, x30, 80
        save    d8, d9, 96
        save    d10, d11, 112
        save    d12, d13, 128
        save    d14, d15, 144
        mrs     x9, fpcr
        str     x9, [sp, #160]
        .endm

        .macro  restore_registers_and_return
        restore x19, x20, 0
        restore x21, x22, 16
        restore x23, x24, 32
        restore x25, x26, 48
        restore x27, x28, 64
        restore x29, x30, 80
        restore d8, d9, 96
        restore d10, d11, 112
        restore d12, d13, 128
        restore d14, d15, 144
        ldr     x9, [sp, #160]
        msr     fpcr, x9
        add     sp, sp, #176
        .cfi_adjust_cfa_offset -176
        ret
        .endm

        .p2align 5
        .globl  swap_stacks
        .hidden swap_stacks
        .type   swap_stacks, %function
swap_stacks:
        .cfi_startproc
        LANDING_PAD
        save_registers
        mov     x9, sp
        str     x9, [x0]
        mov     sp, x1
.Lresume:
        restore_registers_and_return
        .cfi_endproc
        .size   swap_stacks, .-swap_stacks

        .p2align 5
        .globl  swap_stacks_and_enter
        .hidden swap_stacks_and_enter
        .type   swap_stacks_and_enter, %function
swap_stacks_and_enter:
        .cfi_startproc
        LANDING_PAD
        save_registers
        mov     x9, sp
        str     x9, [x0]
        /* behind what would be restored */
        add     sp, x1, #176
        .cfi_undefined x30
        mov     x29, #0
        b       fiber_entry
        .cfi_endproc
        .size   swap_stacks_and_enter, .-swap_stacks_and_enter

        .p2align 5
        .globl  swap_stacks_via
        .hidden swap_stacks_via
        .type   swap_stacks_via, %function
swap_stacks_via:
        .cfi_startproc
        LANDING_PAD
        save_registers
        mov     x9, sp
        str     x9, [x0]
        /* nobody called us on the scratch stack: a backtrace ends here */
        .cfi_remember_state
        mov     sp, x1
        .cfi_undefined x30
        mov     x0, x2
        mov     x1, x3
        bl      slice_exchange
        mov     sp, x0
        .cfi_restore_state
        restore_registers_and_return
        .cfi_endproc
        .size   swap_stacks_via, .-swap_stacks_via

        .p2align 5
        .globl  fiber_entry
        .hidden fiber_entry
        .type   fiber_entry, %function
fiber_entry:
        .cfi_startproc
        .cfi_undefined x30
        LANDING_PAD
        bl      fiber_main
        mov     sp, x0
        b       .Lresume
        .cfi_endproc
        .size   fiber_entry, .-fiber_entry

#if defined(__ARM_FEATURE_BTI_DEFAULT)
        .section .note.gnu.property, "a", %note
        .p2align 3
        .word   4, 16, 5                /* sizes of name and content; NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .word   0xc0000000, 4, 1, 0     /* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI */
#endif

#endif

        .section .note.GNU-stack, "", %progbits
