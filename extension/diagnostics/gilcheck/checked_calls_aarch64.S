// The stubs: a call of Python's goes on to the function at once if the thread holds the GIL, and
// nothing else is to be looked at.
//
// Stub n loads the address of handoff_checked[n] (checked_calls.hpp) into x16. x9 to x17 are
// nobody's at a function's entry. Source: Procedure Call Standard for the Arm 64-bit Architecture,
// section 6.1.1. Built, and never run: nobody of us had such a machine.

#include "checked_calls_count.h"

// Calls one of ours, and goes on to the function: whatever may hold an argument is saved.
.macro call_and_go_on ours
    stp     x29, x30, [sp, #-224]!
    .cfi_def_cfa_offset 224
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    mov     x29, sp
    stp     x0, x1, [sp, #16]
    stp     x2, x3, [sp, #32]
    stp     x4, x5, [sp, #48]
    stp     x6, x7, [sp, #64]
    stp     x8, x16, [sp, #80]
    stp     q0, q1, [sp, #96]
    stp     q2, q3, [sp, #128]
    stp     q4, q5, [sp, #160]
    stp     q6, q7, [sp, #192]
    mov     x0, x16
    mov     x1, x30
    add     x2, sp, #16
    bl      \ours
    ldp     q0, q1, [sp, #96]
    ldp     q2, q3, [sp, #128]
    ldp     q4, q5, [sp, #160]
    ldp     q6, q7, [sp, #192]
    ldp     x0, x1, [sp, #16]
    ldp     x2, x3, [sp, #32]
    ldp     x4, x5, [sp, #48]
    ldp     x6, x7, [sp, #64]
    ldp     x8, x16, [sp, #80]
    ldp     x29, x30, [sp], #224
    .cfi_def_cfa_offset 0
    .cfi_restore x29
    .cfi_restore x30
    ldr     x17, [x16]
    br      x17
.endm

    .text
    .globl  handoff_call_stubs
    .globl  handoff_load_stubs
    .hidden handoff_load_stubs
    .hidden handoff_loading
    .hidden handoff_before_load
    .hidden handoff_call_stubs
    .hidden handoff_checked
    .hidden handoff_calls_go_on
    .hidden handoff_not_at_once
    .type   handoff_call_stubs, %function
    .balign 16
handoff_call_stubs:
    .cfi_startproc
    .set n, 0
    .rept HANDOFF_CALL_STUBS
    hint    #34             // bti c
    adrp    x16, handoff_checked + n * 16
    add     x16, x16, :lo12:(handoff_checked + n * 16)
    b       .Lcheck
    .balign 16
    .set n, n + 1
    .endr

.Lcheck:
    mrs     x9, tpidr_el0
    adrp    x10, :gottprel:handoff_calls_go_on
    ldr     x10, [x10, :gottprel_lo12:handoff_calls_go_on]
    ldrb    w9, [x9, x10]
    cbz     w9, .Lnot_at_once
    ldr     x17, [x16]
    br      x17

.Lnot_at_once:
    call_and_go_on handoff_not_at_once
    .cfi_endproc
    .size   handoff_call_stubs, . - handoff_call_stubs

    .balign 16
    .type   handoff_load_stubs, %function
handoff_load_stubs:
    .cfi_startproc
    .set n, 0
    .rept HANDOFF_LOAD_STUBS
    hint    #34
    adrp    x16, handoff_loading + n * 16
    add     x16, x16, :lo12:(handoff_loading + n * 16)
    b       .Lload
    .balign 16
    .set n, n + 1
    .endr
.Lload:
    call_and_go_on handoff_before_load
    .cfi_endproc
    .size   handoff_load_stubs, . - handoff_load_stubs

    .section .note.GNU-stack, "", %progbits
