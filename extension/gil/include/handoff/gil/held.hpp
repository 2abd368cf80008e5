// gil_held(): does the calling thread hold the GIL right now?
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff {

namespace detail {

/// Whether the calling thread's state, null where it has none, is the one that holds the GIL.
[[nodiscard]] inline bool is_current(PyThreadState const* own) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return own != nullptr && own == PyThreadState_GetUnchecked();
#else
    return own != nullptr && own == _PyThreadState_UncheckedGet();
#endif
}

}  // namespace detail

/// Whether the calling thread holds the GIL of the main interpreter.
///
/// Not PyGILState_Check(): that one answers "yes" for every thread once a subinterpreter has
/// existed in the process.
///
/// GIL:     any; unchanged.
/// Threads: any, native ones included. Never blocks.
/// Source:  Python/pystate.c. Until 3.11 the current thread state is one variable of the runtime,
///          so it must be compared with the caller's own; since 3.12 it is thread-local.
[[nodiscard]] inline bool gil_held() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked() != nullptr;
#elif PY_VERSION_HEX >= 0x030C0000
    return _PyThreadState_UncheckedGet() != nullptr;
#else
    return detail::is_current(PyGILState_GetThisThreadState());
#endif
}

}  // namespace handoff
