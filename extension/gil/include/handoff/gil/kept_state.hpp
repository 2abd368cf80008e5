// new_kept_state(): a native thread's state, made at its first acquire and kept until it ends.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff::detail {

/// A state for the calling thread, which has none; not current, as the GIL is not taken. It is
/// deleted when the thread ends, with the GIL held for a moment, where the gate lets it in; or, if
/// the gate was never opened, where there is a Python still. Else it is Python's to clear.
///
/// GIL:    not needed, unchanged.
/// Throws: std::bad_alloc.
[[gnu::visibility("default")]] PyThreadState* new_kept_state();

}  // namespace handoff::detail
