// gil_held(): does the calling thread hold the GIL right now?
#pragma once

#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/python.hpp>

namespace handoff {

namespace detail {

#if PY_VERSION_HEX < 0x030C0000
/// Whether the calling thread executes `current`, the state that holds the GIL, although it is not
/// the thread's own state: in a subinterpreter the thread uses a state of that interpreter.
///
/// GIL: any; unchanged. Do not call it in a signal handler.
[[gnu::visibility("default")]] bool is_executed_here(PyThreadState* current) noexcept;
#endif

/// Whether the calling thread's state (null if it has none) is the one that holds the GIL.
[[nodiscard]] inline bool is_current(PyThreadState const* own) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return own != nullptr && own == PyThreadState_GetUnchecked();
#else
    return own != nullptr && own == _PyThreadState_UncheckedGet();
#endif
}

}  // namespace detail

/// Whether the calling thread holds the GIL of the interpreter that it is in: the main interpreter
/// or a subinterpreter. A subinterpreter shares the main one's GIL up to 3.11, and may have its own
/// since 3.12.
///
/// PyGILState_Check() is no replacement: it answers "yes" for every thread once a subinterpreter
/// has existed in the process.
///
/// Up to 3.11, in a subinterpreter, it is true only in C++ that Python code has called. In other
/// C++ (after Py_NewInterpreter()) it is false.
///
/// GIL:     any; unchanged.
/// Threads: any, native ones included. Never blocks.
/// Source:  Python/pystate.c. Up to 3.11 the current thread state is one variable of the runtime,
///          so it must be compared with the caller's own; since 3.12 it is thread-local.
[[nodiscard]] inline bool gil_held() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked() != nullptr;
#elif PY_VERSION_HEX >= 0x030C0000
    return _PyThreadState_UncheckedGet() != nullptr;
#else
    PyThreadState* const current = _PyThreadState_UncheckedGet();
    return current != nullptr &&
           (current == PyGILState_GetThisThreadState() || detail::is_executed_here(current));
#endif
}

}  // namespace handoff
