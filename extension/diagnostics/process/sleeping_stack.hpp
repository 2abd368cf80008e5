// sleeping_stack(): where a thread is that sleeps in the system, which does not wake it.
#pragma once

#include <sys/types.h>
#include <vector>

namespace handoff::detail {

/// The return addresses of another thread of this process, the innermost first, which is the
/// instruction after the system call. Empty: it is in none, it ran meanwhile, or the system does
/// not say. The caller of a function that keeps its frame in a register, which the system does not
/// show, is found by the record of it in the stack; where there is none that such a call has made,
/// it and the frames further out are missing.
///
/// A child process, which has a copy of all stacks, walks this one: no signal is sent, so that no
/// wait is over early, and what the stack has for a reader who knows only where it is, and not the
/// other registers, may be wrong, which ends the child alone.
/// GIL:     any; not touched. Threads: one at a time; for as long as a fork() takes.
/// Source:  proc(5), /proc/[pid]/syscall: the stack pointer and the instruction are its last two;
///          /proc/[pid]/schedstat: how long it has run; output_of_child().
[[nodiscard]] std::vector<void*> sleeping_stack(pid_t thread);

}  // namespace handoff::detail
