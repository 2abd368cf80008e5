// python_locks: intercepts the methods of threading.Lock and threading.RLock.
//
// CPython calls a method of a C type through a table of the type, PyMethodDef, which can be
// written. So the methods are seen in a static interpreter as well, whatever such a lock is
// made of (a semaphore, or from CPython 3.13 on a PyMutex).
#pragma once

#include "lock_graph.hpp"
#include "running_python.hpp"

#include <string>

namespace handoff::detail {

/// From now on these locks are nodes of the graph, like others. Those that the interpreter's own C
/// code uses are not. Idempotent.
///
/// held:   whether the GIL is; if not, it is done as soon as the main thread runs Python code.
/// Throws: std::runtime_error: this Python's methods differ from those of CPython 3.11 to 3.15.
///         If it is done later, a line on stderr says so.
void watch_python_locks(running_python const& python, bool held);

/// Where it was first taken, as "f (file.py:12)"; empty: unknown. Threads: any.
[[nodiscard]] std::string place_of_python_lock(lock_number lock);

}  // namespace handoff::detail
