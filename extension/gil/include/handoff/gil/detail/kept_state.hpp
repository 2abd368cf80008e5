// acquire_with_new_state(): a native thread's first acquire, whose state is kept until it ends.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff::detail {

/// Makes a state for the calling thread, which has none, and takes the GIL with it. The state is
/// left to others when the thread ends, which it does without the GIL: see kept_state.cpp.
///
/// GIL:    not held on entry, held on return. What threads that ended have left is dropped.
/// Throws: std::bad_alloc; the GIL is not held then.
[[gnu::visibility("default")]] void acquire_with_new_state();

}  // namespace handoff::detail
