// thread_names: gives the system the names of Python's threads.
#pragma once

#include "running_python.hpp"

#include <string>
#include <sys/types.h>

namespace handoff::detail {

/// The name that the system has for a thread of this process; empty: it has ended. Threads: any.
[[nodiscard]] std::string system_name_of(pid_t thread);

/// "MainThread" for the main thread, as Python calls it; empty if the thread has no name of its
/// own: then the system shows the main thread's, which is the program's. name: as system_name_of().
/// Threads: any.
[[nodiscard]] std::string own_name_of(pid_t thread, std::string const& name);

/// "the main thread (4711)"; "4712 'worker'"; "4713" if it has no name of its own. name: as
/// system_name_of(). Threads: any.
[[nodiscard]] std::string thread_in_words(pid_t thread, std::string const& name);

/// Threads that `threading` begins from now on, and those that it has begun and that have no name
/// yet, get their Python names in the system as well, cut to 15 bytes: for the reports, `top -H`
/// and debuggers. Python 3.14 and later do so themselves. A native thread keeps its own name,
/// although Python calls it Dummy-1, and so does the main thread. The main thread imports
/// `threading` if no code has.
///
/// held:     whether the calling thread holds the GIL; if not, it happens soon.
/// REQUIRES: Python is initialized.
/// Threads:  any.
/// Source:   CPython's Lib/threading.py: a thread that begins calls _set_native_id().
void name_threads(running_python const& python, bool held);

}  // namespace handoff::detail
