// lock_order: predicts deadlocks from the orders in which a program takes the GIL and its locks.
#pragma once

#include "finding_reports.hpp"
#include "running_python.hpp"

namespace handoff::detail {

/// From now on watches the locks of this process, for as long as it lives. Call it once.
///
/// GIL:     held, and also on return; or Python is not initialized.
/// Threads: one at a time.
/// Throws:  std::runtime_error: the text says why they cannot be watched.
void start_lock_order(running_python const& python, finding_reports const& reports);

/// Also watches what was loaded meanwhile. Threads: one at a time.
void watch_locks_of_what_is_loaded();

/// A thread calls a Python function, with the GIL and a lock held; in a free-threaded Python, while
/// it is attached.
/// name: the function's; arguments: the first six, as the registers contain them.
void look_at_call_with_locks(char const* name, void* const* arguments) noexcept;

/// The calling thread may have attached or detached. Call it where Python has no events of its GIL.
void look_at_attachment() noexcept;

}  // namespace handoff::detail
