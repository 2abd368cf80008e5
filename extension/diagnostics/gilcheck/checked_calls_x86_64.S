// The stubs: a call of Python's goes on to the function at once if the thread holds the GIL, and
// nothing else is to be looked at.
//
// Stub n loads the address of handoff_checked[n] (checked_calls.hpp) into r11. r10 and r11 are
// nobody's at a function's entry. Source: System V ABI, AMD64 supplement, section 3.2.1.

#include "checked_calls_count.h"

// Calls one of ours, and goes on to the function: whatever may hold an argument is saved.
.macro call_and_go_on ours
    push    %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbp, 0
    mov     %rsp, %rbp
    .cfi_def_cfa_register rbp
    sub     $192, %rsp
    mov     %rdi, (%rsp)
    mov     %rsi, 8(%rsp)
    mov     %rdx, 16(%rsp)
    mov     %rcx, 24(%rsp)
    mov     %r8, 32(%rsp)
    mov     %r9, 40(%rsp)
    mov     %rax, 48(%rsp)
    mov     %r11, 56(%rsp)
    movups  %xmm0, 64(%rsp)
    movups  %xmm1, 80(%rsp)
    movups  %xmm2, 96(%rsp)
    movups  %xmm3, 112(%rsp)
    movups  %xmm4, 128(%rsp)
    movups  %xmm5, 144(%rsp)
    movups  %xmm6, 160(%rsp)
    movups  %xmm7, 176(%rsp)
    mov     %r11, %rdi
    mov     8(%rbp), %rsi
    mov     %rsp, %rdx
    call    \ours
    mov     (%rsp), %rdi
    mov     8(%rsp), %rsi
    mov     16(%rsp), %rdx
    mov     24(%rsp), %rcx
    mov     32(%rsp), %r8
    mov     40(%rsp), %r9
    mov     48(%rsp), %rax
    mov     56(%rsp), %r11
    movups  64(%rsp), %xmm0
    movups  80(%rsp), %xmm1
    movups  96(%rsp), %xmm2
    movups  112(%rsp), %xmm3
    movups  128(%rsp), %xmm4
    movups  144(%rsp), %xmm5
    movups  160(%rsp), %xmm6
    movups  176(%rsp), %xmm7
    leave
    .cfi_def_cfa rsp, 8
    .cfi_restore rbp
    jmp     *(%r11)
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
    .type   handoff_call_stubs, @function
    .balign 16
handoff_call_stubs:
    .cfi_startproc
    .set n, 0
    .rept HANDOFF_CALL_STUBS
    endbr64
    lea     handoff_checked + n * 16(%rip), %r11
    jmp     .Lcheck
    .balign 16
    .set n, n + 1
    .endr

.Lcheck:
    mov     handoff_calls_go_on@gottpoff(%rip), %r10
    cmpb    $0, %fs:(%r10)
    je      .Lnot_at_once
    jmp     *(%r11)

.Lnot_at_once:
    call_and_go_on handoff_not_at_once
    .cfi_endproc
    .size   handoff_call_stubs, . - handoff_call_stubs

    .balign 16
    .type   handoff_load_stubs, @function
handoff_load_stubs:
    .cfi_startproc
    .set n, 0
    .rept HANDOFF_LOAD_STUBS
    endbr64
    lea     handoff_loading + n * 16(%rip), %r11
    jmp     .Lload
    .balign 16
    .set n, n + 1
    .endr
.Lload:
    call_and_go_on handoff_before_load
    .cfi_endproc
    .size   handoff_load_stubs, . - handoff_load_stubs

    .section .note.GNU-stack, "", @progbits
