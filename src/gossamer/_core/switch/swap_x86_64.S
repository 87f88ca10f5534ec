/* The register swap for x86-64, System V calling convention: see swap.h.

   A parked stack looks like this from its saved pointer upwards:
       mxcsr and x87 control word | r15 r14 r13 r12 rbx rbp | return address
   The CFI finds the registers in these places on either side of the exchange, as both stacks have them there.

   Control-flow protection (-fcf-protection). Each function begins with a landing pad, and the object says that it
   may be used where indirect branches are checked. It never says that it knows shadow stacks: an exchange of stacks
   would have to exchange those as well, so an extension module that this is part of does without. */
#if defined(__x86_64__)

#if defined(__CET__) && (__CET__ & 1)
#  define LANDING_PAD endbr64
#else
#  define LANDING_PAD
#endif

        .text

        .macro  save register
        pushq   %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endm

        .macro  restore register
        popq    %\register
        .cfi_adjust_cfa_offset -8
        .cfi_restore \register
        .endm

        .macro  save_registers
        save    rbp
        save    rbx
        save    r12
        save    r13
        save    r14
        save    r15
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        .endm

        /* the control words in force: mxcsr in eax, the x87's in ecx */
        .macro  read_control_words
        stmxcsr -8(%rsp)
        fnstcw  -4(%rsp)
        movl    -8(%rsp), %eax
        movzwl  -4(%rsp), %ecx
        .endm

        /* Expects what read_control_words reads. Loading control words is slow, and they hardly ever differ. Of mxcsr
           the lowest six bits, flags of what has happened, are not the caller's to rely on. */
        .macro  restore_registers_and_return
        xorl    (%rsp), %eax
        xorw    4(%rsp), %cx
        andl    $0xffc0, %eax
        orw     %cx, %ax
        je      1f
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
1:
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        restore r15
        restore r14
        restore r13
        restore r12
        restore rbx
        restore rbp
        ret
        .endm

        .p2align 5
        .globl  swap_stacks
        .hidden swap_stacks
        .type   swap_stacks, @function
swap_stacks:
        .cfi_startproc
        LANDING_PAD
        save_registers
        movl    (%rsp), %eax
        movzwl  4(%rsp), %ecx
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
        LANDING_PAD
        save_registers
        movq    %rsp, (%rdi)
        /* behind what would be restored and returned to */
        leaq    64(%rsi), %rsp
        .cfi_undefined rip
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
        LANDING_PAD
        save_registers
        movq    %rsp, (%rdi)
        /* nobody called us on the scratch stack: a backtrace ends here */
        .cfi_remember_state
        movq    %rsi, %rsp
        .cfi_undefined rip
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        call    slice_exchange
        movq    %rax, %rsp
        .cfi_restore_state
        read_control_words
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
        LANDING_PAD
        call    fiber_main
        movq    %rax, %rsp
        read_control_words
        jmp     .Lresume
        .cfi_endproc
        .size   fiber_entry, .-fiber_entry

#if defined(__CET__) && (__CET__ & 1)
        .section .note.gnu.property, "a", @note
        .p2align 3
        .long   4, 16, 5                /* sizes of name and content; NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000002, 4, 1, 0     /* GNU_PROPERTY_X86_FEATURE_1_AND: indirect branch tracking */
#endif

#endif

        .section .note.GNU-stack, "", @progbits
