// output_of_child(): has something done in a child process that the program does not notice.
#pragma once

#include <cstdint>
#include <string>

namespace handoff::detail {

/// Of the child's memory: a copy, so that nothing that it does is seen here; or this process's own,
/// which costs nothing, for work that soon becomes another program (vfork(2)).
enum class child_memory : std::uint8_t { copied, shared };

/// Calls work(with) in a child, waits until that ends, and returns what it wrote to its standard
/// output. Empty where there can be no child.
///
/// The program is told nothing of the child: no SIGCHLD is sent, wait() does not find it, and no
/// handler of pthread_atfork() runs. Its descriptors are copies, and none of the program's is used:
/// one whose number was remembered may be another's by now.
///
/// `work` may do what a signal's handler may, and exec.
/// GIL:    any, unchanged; the child has the same, and must not wait for it.
/// Source: clone(2): without a signal that tells of its end, a child is waited for with __WALL
/// alone.
[[nodiscard]] std::string output_of_child(child_memory memory, void (*work)(void*), void* with);

}  // namespace handoff::detail
