// python_stacks: every Python thread's stack, as faulthandler writes it, without the GIL.
#pragma once

#include "loaded_objects.hpp"

#include <optional>
#include <pthread.h>
#include <string>
#include <sys/types.h>
#include <vector>

namespace handoff::detail {

/// Once, before the other functions. interpreter: the object that contains it.
void prepare_python_stacks(loaded_object const& interpreter);

/// The stacks come from faulthandler; to request them, the GIL is needed.
/// held:     whether the calling thread holds it; if not, it happens soon, in the main thread.
/// REQUIRES: Python is initialized.
void ask_for_python_stacks(bool held);

/// The stacks of all threads, at this moment; empty: faulthandler is not asked yet, or the program
/// has taken its signal. A child writes them, unnoticed by the program. GIL: any; not touched.
[[nodiscard]] std::string python_stacks();

/// The lines of one thread in these stacks, the innermost function first, each of the form
/// `  File "f.py", line 1 in f`; without those of `python3 -m`. Empty: it is not a Python thread.
[[nodiscard]] std::string python_stack_of(pthread_t thread, std::string const& stacks);

/// Those of these lines that are Python code, each in the form "f() at f.py:1". In place of
/// pytest's own there is their number: "… 29 of pytest's".
[[nodiscard]] std::vector<std::string> python_lines(std::string const& stack);

/// The Python thread with that number in the system; nothing: it is not a Python thread, or glibc
/// stores the number in an unknown place. Threads: one at a time, not the main thread.
[[nodiscard]] std::optional<pthread_t> python_thread(pid_t thread, std::string const& stacks);

/// Whether the calling thread is the one that ended Python.
[[nodiscard]] bool ended_python_here() noexcept;

}  // namespace handoff::detail
