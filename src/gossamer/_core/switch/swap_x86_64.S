/* The register swap for x86-64, System V calling convention: see swap.h.

   A parked stack looks like this from its saved pointer upwards:
       mxcsr and x87 control word | r15 r14 r13 r12 rbx rbp | return address */
#if defined(__x86_64__)

        .text

        .macro  save_registers
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        .endm

        .macro  restore_registers_and_return
        ldmxcsr (%rsp)
        /* loading the x87 control word is slow, and it hardly ever differs */
        fnstcw  -8(%rsp)
        movzwl  -8(%rsp), %ecx
        cmpw    4(%rsp), %cx
        je      1f
        fldcw   4(%rsp)
1:
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        popq    %r14
        .cfi_adjust_cfa_offset -8
        popq    %r13
        .cfi_adjust_cfa_offset -8
        popq    %r12
        .cfi_adjust_cfa_offset -8
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        ret
        .endm

        .p2align 5
        .globl  swap_stacks
        .hidden swap_stacks
        .type   swap_stacks, @function
swap_stacks:
        .cfi_startproc
        save_registers
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
.Lresume:
        restore_registers_and_return
        .cfi_endproc
        .size   swap_stacks, .-swap_stacks

        .p2align 5
        .globl  swap_stacks_and_enter
        .hidden swap_stacks_and_enter
        .type   swap_stacks_and_enter, @function
swap_stacks_and_enter:
        .cfi_startproc
        save_registers
        movq    %rsp, (%rdi)
        /* behind what would be restored and returned to */
        leaq    64(%rsi), %rsp
        xorl    %ebp, %ebp
        jmp     fiber_entry
        .cfi_endproc
        .size   swap_stacks_and_enter, .-swap_stacks_and_enter

        .p2align 5
        .globl  swap_stacks_via
        .hidden swap_stacks_via
        .type   swap_stacks_via, @function
swap_stacks_via:
        .cfi_startproc
        save_registers
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        call    slice_exchange
        movq    %rax, %rsp
        restore_registers_and_return
        .cfi_endproc
        .size   swap_stacks_via, .-swap_stacks_via

        .p2align 5
        .globl  fiber_entry
        .hidden fiber_entry
        .type   fiber_entry, @function
fiber_entry:
        .cfi_startproc
        .cfi_undefined rip
        call    fiber_main
        movq    %rax, %rsp
        jmp     .Lresume
        .cfi_endproc
        .size   fiber_entry, .-fiber_entry

#endif

        .section .note.GNU-stack, "", @progbits
