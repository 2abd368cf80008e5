// sleeping_stack(): the stack of a thread that sleeps in the system, without waking it.
#pragma once

#include <sys/types.h>
#include <vector>

namespace handoff::detail {

/// The return addresses of another thread of this process, the innermost first, which is the
/// instruction after the system call. Empty: it is in no call, it ran meanwhile, or the system does
/// not say. If a function keeps its frame in a register, which the system does not show, its caller
/// is found by the function's record in the stack. If no such call has made a record, the caller
/// and the frames further out are missing.
///
/// A child process, which has a copy of all stacks, walks this one. So no signal is sent, and no
/// wait ends early. The walk knows only the place in the stack and not the other registers, so what
/// it reads may be wrong: this ends only the child.
/// GIL:     any; not touched. Threads: one at a time; for as long as a fork() takes.
/// Source:  proc(5), /proc/[pid]/syscall: the stack pointer and the instruction are its last two;
///          /proc/[pid]/schedstat: how long it has run; output_of_child().
[[nodiscard]] std::vector<void*> sleeping_stack(pid_t thread);

}  // namespace handoff::detail
