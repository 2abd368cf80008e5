// gil_scheduler(): the process's one scheduler, whose turns hold the GIL.
#pragma once

#include "scheduler.hpp"
#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

#include <chrono>

namespace handoff {

/// How long an on_message in progress is waited for at exit.
inline constexpr std::chrono::seconds callback_grace{10};

/// The scheduler that serves every Foo. Its threads are attached to Python once; a turn is one
/// hold of the GIL. Lives as long as the process: it is never destroyed, only closed.
///
/// GIL:     any; unchanged.
/// Threads: any.
scheduler& gil_scheduler();

/// Ties the scheduler to the interpreter's life, once: closed by an `atexit` function, that is
/// after Python's non-daemon threads have ended and before the interpreter is taken apart; an
/// on_message that does not return within its grace is named on stderr and abandoned. And to the
/// process's: in the child of a fork() every Foo is stopped. Its threads are registered at the
/// gate, which this opens.
///
/// Raises the audit events `handoff.thread_start` and `handoff.thread_stop`, with the thread's name
/// and its native id, on that thread.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
/// Source: CPython's Py_FinalizeEx: threading._shutdown, then atexit, then finalization.
void tie_scheduler_to_interpreter();

/// Module threading as it was then. A script may have taken it out of sys.modules since: imported
/// anew by a native thread, it would take that for Python's main thread, and wait for it at exit.
///
/// GIL:      held.
/// REQUIRES: tie_scheduler_to_interpreter().
boost::python::object threading();

}  // namespace handoff
