// python_scheduler(): the process's one scheduler, whose turns hold the GIL.
#pragma once

#include "scheduler.hpp"
#include <handoff/gil/python.hpp>

#include <chrono>

namespace handoff {

/// A signal that arrives just before a wait begins does not interrupt it: the main thread, which
/// is to run the handler, looks again this often.
inline constexpr std::chrono::milliseconds signal_check{100};

/// The scheduler that serves every Foo. Its threads are attached to Python once; a turn is one
/// hold of the GIL. Lives as long as the process: it is never destroyed, only closed.
///
/// GIL:     any; unchanged.
/// Threads: any.
scheduler& python_scheduler();

/// Ties the scheduler to the interpreter's life, once: closed by an `atexit` function, that is
/// after Python's non-daemon threads have ended and before the interpreter is taken apart. And to
/// the process's: in the child of a fork() every Foo is stopped.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
/// Source: CPython's Py_FinalizeEx: threading._shutdown, then atexit, then finalization.
void tie_scheduler_to_interpreter();

}  // namespace handoff
