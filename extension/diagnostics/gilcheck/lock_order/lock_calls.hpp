// lock_calls: stands between a program and the functions by which it locks, waits and joins.
#pragma once

#include "loaded_objects.hpp"

namespace handoff::detail {

/// Has the calls of each loaded object go by way of held_locks, from now on, but those of the
/// interpreter, of the C library, of the unwinder and of this code. Idempotent; to be repeated when
/// others were loaded.
///
/// interpreter: what contains it; of that, only what ends the process at once is watched.
/// exits:       called before that.
/// Threads:     one at a time.
void watch_lock_calls(loaded_object const& interpreter, void (*exits)());

}  // namespace handoff::detail
