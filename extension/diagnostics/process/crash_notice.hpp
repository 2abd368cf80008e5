// crash_notice: what the tools say where the program dies of a fault.
#pragma once

#include "loaded_objects.hpp"

#include <initializer_list>
#include <string_view>

namespace handoff::detail {

/// From now on `tell` is called for a signal of a fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT)
/// that nobody handles, or Python's faulthandler alone, with the signal's name. The signal then
/// does what it would have done: the exit code, a core and faulthandler's stacks are as without.
///
/// tell:     runs in the signal's handler; for each tool its own, and once however often it is
///           given.
/// REQUIRES: Python is initialized, which would take the handlers for the program's own.
/// GIL:      held.
void tell_of_crashes(loaded_object const& interpreter,
                     void (*tell)(std::string_view signal_name) noexcept) noexcept;

/// On stderr in one piece, as another thread may die at the same time; for a signal's handler.
void say_at_once(std::initializer_list<std::string_view> parts) noexcept;

}  // namespace handoff::detail
