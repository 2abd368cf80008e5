// python_life(): counts the lives of Python in a process. Python may end and be started again; what
// was kept from one life is invalid in the next.
#pragma once

#include <handoff/gil/python.hpp>

#include <atomic>

namespace handoff::detail {

/// Counts the main interpreter's lives in this process. Default visibility: a host and the modules
/// that it loads count together.
struct life_count {
    std::atomic<unsigned long> ended = 0;
    std::atomic<unsigned long> watched = 0;  // the number of the life whose end will be counted
};
[[gnu::visibility("default")]] inline constinit life_count lives;

/// The number of the current life, or of the next: 1 and up. Compare it with the number that
/// watched_python_life() returned: a Python object of that time may be used only if both are equal.
///
/// GIL: any.
[[nodiscard]] inline unsigned long python_life() noexcept { return lives.ended + 1; }

/// The same, and makes sure that this life's end is counted.
///
/// GIL:    held. In a subinterpreter it registers nothing.
/// Throws: std::bad_alloc.
/// Source: the main interpreter's dict is cleared after all modules, when no Python code runs any
///         more: CPython's interpreter_clear() in Python/pystate.c.
[[gnu::visibility("default")]] unsigned long watched_python_life();

}  // namespace handoff::detail
