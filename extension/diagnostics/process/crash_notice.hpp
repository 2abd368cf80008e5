// crash_notice: what the tools say if the program dies of a fault.
#pragma once

#include "loaded_objects.hpp"

#include <initializer_list>
#include <string_view>

namespace handoff::detail {

/// From now on the tool speaks at a fault's signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT), and
/// at SIGTERM, if it has no handler, or only Python's faulthandler. The signal then has its usual
/// effect: the exit code, a core and faulthandler's stacks are as without the tool. What the
/// program wrote to a capture of its stderr before is shown, see write_what_was_captured().
///
/// speak:    is called in the signal's handler, with the signal's name. Lives forever; one object
///           of the process has at most two, and the same one is called once.
/// REQUIRES: Python is initialized; otherwise it would take the handlers for the program's own.
/// Threads:  one at a time.
void tell_of_crashes(loaded_object const& interpreter,
                     void (*speak)(std::string_view signal) noexcept) noexcept;

/// Writes to stderr in one piece, because another thread may die at the same time; if longer than 8
/// KiB, only the beginning. May be called in a signal's handler.
void write_in_one_piece(std::initializer_list<std::string_view> parts) noexcept;

}  // namespace handoff::detail
