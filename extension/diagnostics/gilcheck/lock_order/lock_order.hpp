// lock_order: foretells deadlocks, from the orders in which a program takes the GIL and its locks.
#pragma once

#include "finding_reports.hpp"
#include "running_python.hpp"

namespace handoff::detail {

/// Watches the locks of this process from now on, and for as long as it lives. Once.
///
/// GIL:     held, and so on return; or Python is not initialized.
/// Threads: one at a time.
/// Throws:  std::runtime_error: the sentence says why they cannot be watched.
void start_lock_order(running_python const& python, finding_reports const& reports);

/// Has what was loaded meanwhile watched as well. Threads: one at a time.
void watch_locks_of_what_is_loaded();

/// A thread calls a function of Python's, with the GIL and a lock held.
/// name: of the function; arguments: the first six, as its registers have them.
void look_at_call_with_locks(char const* name, void* const* arguments) noexcept;

}  // namespace handoff::detail
