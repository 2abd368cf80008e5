// gil_budget: reports holds of the GIL that last too long, with the holder's C++ stack.
#pragma once

#include "finding_reports.hpp"
#include "running_python.hpp"

#include <chrono>

namespace handoff::detail {

/// From now on a separate thread checks each hold that lasts longer than the budget. If it does so
/// already, it goes on with this budget; zero: none. It reports a hold whose holder is in native
/// code, or waits, once for each place. A hold by Python code that computes is not a fault, because
/// Python drops the GIL when another thread asks for it. So a hold is reported if another thread
/// waits for the GIL and has asked for it. From Python 3.13 on, if no thread waits, it is also
/// reported if the main thread's evaluation loop does not reach a pending call
/// (Py_AddPendingCall()).
///
/// The holder is asked with a signal, unless it is in a system call that the signal would end
/// early. Then only the call that it waits in, and its Python function, are known.
///
/// prepare: called again and again, by that thread without the GIL: whether a Python that has begun
/// since, in a program that embeds it, is still to be prepared.
/// REQUIRES: start_gil_statistics() and prepare_python_stacks() were called.
/// GIL:     held, and also on return; or Python is not initialized.
/// Threads: one at a time.
/// Throws:  std::runtime_error: no signal is free, or no thread can be started.
void set_gil_budget(running_python const& python, std::chrono::nanoseconds budget,
                    finding_reports const& reports, void (*prepare)() noexcept);

/// Waits until the hold that is being looked at is reported, or found to be known; five seconds at
/// most. GIL: any; not touched.
void finish_looking() noexcept;

}  // namespace handoff::detail
