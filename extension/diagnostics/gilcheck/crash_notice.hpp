// crash_notice: the message if the program dies of a fault and nothing was reported.
#pragma once

#include "loaded_objects.hpp"

namespace handoff::detail {

/// From now on, if a fault signal (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) arrives that has no
/// handler, or only Python's faulthandler, one sentence on stderr says what gilcheck does not see.
/// The signal then does what it would do without gilcheck: the exit code, a core and faulthandler's
/// stacks stay the same.
///
/// is_worth_it: whether to write the sentence; called in the signal handler.
/// REQUIRES:    Python is initialized; otherwise it would take the handlers for the program's own.
/// Threads:     one at a time.
void tell_of_crashes(loaded_object const& interpreter, bool (*is_worth_it)() noexcept) noexcept;

}  // namespace handoff::detail
