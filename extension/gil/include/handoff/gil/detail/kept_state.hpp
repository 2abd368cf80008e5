// acquire_with_new_state(): a native thread's first acquire, whose state is kept until it ends.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff::detail {

/// Makes a state for the calling thread, which has none, and takes the GIL with it. When the thread
/// ends, which it does without the GIL, it leaves the state to other threads: see kept_state.cpp.
///
/// GIL:    not held on entry, held on return. The states that ended threads have left are cleared.
/// Throws: std::bad_alloc; the GIL is not held then.
[[gnu::visibility("default")]] void acquire_with_new_state();

}  // namespace handoff::detail
