/* The register swap for aarch64, AAPCS64 calling convention: see swap.h.

   A parked stack looks like this from its saved pointer upwards:
       x19..x28 | x29 x30 (return address) | d8..d15 | fpcr, padding */
#if defined(__aarch64__)

        .text

        .macro  save_registers
        sub     sp, sp, #176
        .cfi_adjust_cfa_offset 176
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        .cfi_offset x29, -96
        .cfi_offset x30, -88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mrs     x9, fpcr
        str     x9, [sp, #160]
        .endm

        .macro  restore_registers_and_return
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldr     x9, [sp, #160]
        msr     fpcr, x9
        add     sp, sp, #176
        .cfi_adjust_cfa_offset -176
        .cfi_restore x29
        .cfi_restore x30
        ret
        .endm

        .p2align 5
        .globl  swap_stacks
        .hidden swap_stacks
        .type   swap_stacks, %function
swap_stacks:
        .cfi_startproc
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
        save_registers
        mov     x9, sp
        str     x9, [x0]
        /* behind what would be restored */
        add     sp, x1, #176
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
        save_registers
        mov     x9, sp
        str     x9, [x0]
        mov     sp, x1
        mov     x0, x2
        mov     x1, x3
        bl      slice_exchange
        mov     sp, x0
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
        bl      fiber_main
        mov     sp, x0
        b       .Lresume
        .cfi_endproc
        .size   fiber_entry, .-fiber_entry

#endif

        .section .note.GNU-stack, "", @progbits
