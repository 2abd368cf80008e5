// thread_names: has the system know the names that Python's threads have.
#pragma once

#include "running_python.hpp"

#include <string>
#include <string_view>
#include <sys/types.h>

namespace handoff::detail {

/// The file that the functions of name_threads() are in, for Python.
inline constexpr std::string_view file_of_thread_names = "<gil tools>";

/// The name that the system has for a thread of this process; empty: it has ended. Threads: any.
[[nodiscard]] std::string system_name_of(pid_t thread);

/// "the main thread (4711)"; "4712 'worker'"; "4713", where nobody has named it: it has the main
/// thread's name then, which is the program's. name: as system_name_of(). Threads: any.
[[nodiscard]] std::string thread_in_words(pid_t thread, std::string const& name);

/// Threads that `threading` begins from now on, and those that it has begun and nobody has named,
/// have their names for the system as well, of which it keeps the first 15 bytes: for the reports,
/// `top -H` and debuggers. Python 3.14 and later do so themselves. A native thread keeps its own
/// name, though Python calls it Dummy-1, and so does the main thread. The main thread imports
/// `threading`, if nobody has.
///
/// held:     whether the calling thread holds the GIL; otherwise it happens soon.
/// REQUIRES: Python is initialized.
/// Threads:  any.
/// Source:   CPython's Lib/threading.py: a thread that begins calls _set_native_id().
void name_threads(running_python const& python, bool held);

}  // namespace handoff::detail
