// python_stacks: every Python thread's stack, as faulthandler writes it, without the GIL.
#pragma once

#include "loaded_objects.hpp"

#include <optional>
#include <pthread.h>
#include <string>
#include <sys/types.h>
#include <vector>

namespace handoff::detail {

/// Once, before the others. interpreter: what contains it.
void prepare_python_stacks(loaded_object const& interpreter);

/// The stacks come from faulthandler, and that they are to come wants the GIL.
/// held:     whether the calling thread holds it; otherwise it happens soon, in the main thread.
/// REQUIRES: Python is initialized.
void ask_for_python_stacks(bool held);

/// Of all threads, as of this moment; empty: faulthandler is not asked yet, or the program has
/// taken its signal. A child writes it, which the program does not notice. GIL: any; not touched.
[[nodiscard]] std::string python_stacks();

/// Of these the lines of one thread, the innermost function first, `  File "f.py", line 1 in f`
/// each; without those that run a program for `python3 -m`. Empty: it is none of Python's.
[[nodiscard]] std::string python_stack_of(pthread_t thread, std::string const& stacks);

/// Of these lines the ones that tell of Python code, as "f() at f.py:1" each.
[[nodiscard]] std::vector<std::string> python_lines(std::string const& stack);

/// That thread of Python's, by the system's number; nothing: it is none of Python's, or glibc keeps
/// the number where it is not found. Threads: one at a time, not the main thread.
[[nodiscard]] std::optional<pthread_t> python_thread(pid_t thread, std::string const& stacks);

/// Whether the calling thread is the one that ended Python.
[[nodiscard]] bool ended_python_here() noexcept;

}  // namespace handoff::detail
