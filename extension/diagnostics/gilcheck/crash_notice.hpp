// crash_notice: what is said where the program dies of a fault, and nothing was reported.
#pragma once

#include "loaded_objects.hpp"

namespace handoff::detail {

/// From now on a signal of a fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) that nobody handles,
/// or Python's faulthandler alone, is told of on stderr, in one sentence that says what the checker
/// does not see. The signal then does what it would have done: the exit code, a core and
/// faulthandler's stacks are as without.
///
/// is_worth_it: whether the sentence is to be said; called in the signal's handler.
/// REQUIRES:    Python is initialized, which would take the handlers for the program's own.
/// Threads:     one at a time.
void tell_of_crashes(loaded_object const& interpreter, bool (*is_worth_it)() noexcept) noexcept;

}  // namespace handoff::detail
