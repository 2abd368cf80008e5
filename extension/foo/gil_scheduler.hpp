// gil_scheduler(): the only scheduler of the process, whose turns hold the GIL.
#pragma once

#include "scheduler.hpp"
#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

#include <chrono>

namespace handoff {

/// How long exit waits for an on_message that is in progress.
inline constexpr std::chrono::seconds callback_grace{10};

/// The scheduler that serves every Foo. Its threads are attached to Python once; a turn is one
/// hold of the GIL. Lives as long as the process: it is never destroyed, only closed.
///
/// GIL:     any; unchanged.
/// Threads: any.
scheduler& gil_scheduler();

/// Connects the scheduler to the interpreter's life, once. An `atexit` function closes it, after
/// Python's non-daemon threads have ended and before the interpreter is destroyed. If an
/// on_message does not return within its grace, stderr names it and it is abandoned. In the child
/// of a fork() every Foo is stopped. The scheduler's threads are registered at the gate, which this
/// opens.
///
/// Raises the audit events `handoff.thread_start` and `handoff.thread_stop`, with the thread's name
/// and its native id, on that thread.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
/// Source: CPython's Py_FinalizeEx: threading._shutdown, then atexit, then finalization.
void tie_scheduler_to_interpreter();

/// The module threading as it was then. A script may have removed it from sys.modules since. If a
/// native thread imported it again, the new module would take that thread for Python's main thread,
/// and wait for it at exit.
///
/// GIL:      held.
/// REQUIRES: tie_scheduler_to_interpreter().
boost::python::object threading();

}  // namespace handoff
