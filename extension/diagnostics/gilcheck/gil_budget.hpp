// gil_budget: holds of the GIL that last too long, with the C++ stack of the holder.
#pragma once

#include "finding_reports.hpp"
#include "running_python.hpp"

#include <chrono>

namespace handoff::detail {

/// Has a thread of its own look at each hold that lasts longer than that, from now on, once for as
/// long as the process lives, and reports those whose holder is in native code, or waits, once for
/// each place. A hold by Python code that computes is no fault, as long as nobody else wants the
/// GIL: it drops it when another thread asks. So a hold is reported where another thread waits for
/// the GIL, and has asked for it; and from Python 3.13 on also where nobody does, if the main
/// thread's evaluation loop does not come to a call that is pending (Py_AddPendingCall()).
///
/// The holder is asked by a signal, unless it is in a system call that this would end early: then
/// only what it waits in, and its Python function, are known.
///
/// REQUIRES: start_gil_statistics() and prepare_python_stacks() were called.
/// GIL:     held, and so on return; or Python is not initialized.
/// Threads: one at a time.
/// Throws:  std::runtime_error: there is no signal left, or no thread.
void start_gil_budget(running_python const& python, std::chrono::nanoseconds budget,
                      finding_reports const& reports);

/// Waits until what is being looked at now is reported, or found to be nothing new; five seconds at
/// most. GIL: any; not touched.
void finish_looking() noexcept;

}  // namespace handoff::detail
