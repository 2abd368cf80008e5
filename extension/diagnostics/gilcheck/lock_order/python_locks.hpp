// python_locks: stands between Python code and the methods of threading.Lock and threading.RLock.
//
// CPython calls a method of a type in C through a table of the type's, PyMethodDef, which can be
// written: so the methods are seen in a static interpreter as well, and whatever such a lock is
// made of (a semaphore, or from CPython 3.13 on a PyMutex).
#pragma once

#include "lock_graph.hpp"
#include "running_python.hpp"

#include <string>

namespace handoff::detail {

/// From now on these locks are nodes of the graph, as others are. Those that are used by C code of
/// the interpreter itself are not. Idempotent.
///
/// held:   whether the GIL is; if not, it is done as soon as the main thread runs Python code.
/// Throws: std::runtime_error: this Python's methods are not what is known of CPython 3.11 to 3.15.
///         Where it is done later, that is a line on stderr.
void watch_python_locks(running_python const& python, bool held);

/// Where it was first taken, as "f (file.py:12)"; empty: unknown. Threads: any.
[[nodiscard]] std::string place_of_python_lock(lock_number lock);

}  // namespace handoff::detail
