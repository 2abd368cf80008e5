// output_of_child(): has something done in a child process that the program does not notice.
#pragma once

#include <string>

namespace handoff::detail {

/// Calls work(with) in a child, as fork() makes it, waits until that ends, and returns what it
/// wrote to its standard output. Empty where there can be no child.
///
/// The program is told nothing of the child: no SIGCHLD is sent, wait() does not find it, and no
/// handler of pthread_atfork(), nor of a signal, runs. Its descriptors are copies, and none of the
/// program's is used: one whose number was remembered may be another's by now.
///
/// `work` may do what a signal's handler may. It does not exec, which makes the child an ordinary
/// one; it may have a child of its own do so. All signals are blocked.
/// GIL:    any, unchanged; the child has the same, and must not wait for it.
/// Source: clone(2): without a signal that tells of its end, a child is waited for with __WALL
///         alone; execve(2): the signal becomes SIGCHLD.
[[nodiscard]] std::string output_of_child(void (*work)(void*), void* with);

}  // namespace handoff::detail
