// python_life(): Python may end and begin again in a process; what is kept of one life is nothing
// in the next.
#pragma once

#include <handoff/gil/python.hpp>

#include <atomic>

namespace handoff::detail {

/// Of the main interpreter's lives in this process. Visible, so that a host and the modules that it
/// loads count together.
struct life_count {
    std::atomic<unsigned long> ended = 0;
    std::atomic<unsigned long> watched = 0;  // the number of the life whose end will be counted
};
[[gnu::visibility("default")]] inline constinit life_count lives;

/// The number of the life that this is, or that comes next: 1 and up. Compared with the number that
/// watched_python_life() returned it says whether a Python object of that time may still be used.
///
/// GIL: any.
[[nodiscard]] inline unsigned long python_life() noexcept { return lives.ended + 1; }

/// The same; sees to it that this life's end is counted.
///
/// GIL:    held. In a subinterpreter it registers nothing.
/// Throws: std::bad_alloc.
/// Source: the main interpreter's dict goes after all modules, when no Python code runs any more:
///         CPython's interpreter_clear() in Python/pystate.c.
[[gnu::visibility("default")]] unsigned long watched_python_life();

}  // namespace handoff::detail
