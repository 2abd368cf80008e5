// crash_notice: what the tools say where the program dies of a fault.
#pragma once

#include "loaded_objects.hpp"

#include <initializer_list>
#include <string_view>

namespace handoff::detail {

/// From now on, of a signal of a fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) that nobody
/// handles, or Python's faulthandler alone, the tool says what it has to say. The signal then does
/// what it would have done: the exit code, a core and faulthandler's stacks are as without.
///
/// speak:    is called in the signal's handler, with the signal's name. Lives for ever; of one
///           object of the process there are two at most, and the same one is called once.
/// REQUIRES: Python is initialized, which would take the handlers for the program's own.
/// Threads:  one at a time.
void tell_of_crashes(loaded_object const& interpreter,
                     void (*speak)(std::string_view signal) noexcept) noexcept;

/// Writes to stderr in one piece, as another thread may die at the same time; of more than 8 KiB,
/// the beginning. May be called in a signal's handler.
void write_in_one_piece(std::initializer_list<std::string_view> parts) noexcept;

}  // namespace handoff::detail
