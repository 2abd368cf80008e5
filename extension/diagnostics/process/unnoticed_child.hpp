// output_of_child(): has a child process do something, unnoticed by the program.
#pragma once

#include <string>

namespace handoff::detail {

/// Calls work(with) in a child, as fork() makes it, waits until it ends, and returns what it wrote
/// to its standard output. Empty if there can be no child.
///
/// The program does not notice the child: no SIGCHLD is sent, wait() does not find it, and no
/// handler runs, neither of pthread_atfork() nor of a signal. Its descriptors are copies, and none
/// of the program's is used: one whose number was remembered may be another file's by now. Under
/// qemu's emulation of a processor SIGCHLD is sent, and wait() may find the child.
///
/// `work` may do what a signal's handler may. It must not exec, which makes the child an ordinary
/// one; a child of its own may do so. All signals are blocked.
/// GIL:    any, unchanged; the child has the same, and must not wait for it.
/// Source: clone(2): a child that sends no signal at its end is only found with __WALL; execve(2):
///         the signal becomes SIGCHLD.
[[nodiscard]] std::string output_of_child(void (*work)(void*), void* with);

}  // namespace handoff::detail
