// lock_calls: intercepts the functions with which a program locks, waits and joins.
#pragma once

#include "loaded_objects.hpp"

namespace handoff::detail {

/// From now on the calls of each loaded object go through held_locks, except those of the
/// interpreter, of the C library, of the unwinder and of this code. Idempotent; repeat it after
/// other objects were loaded.
///
/// interpreter: what contains it; there only calls that end the process at once are watched.
/// exits:       called before that.
/// Threads:     one at a time.
void watch_lock_calls(loaded_object const& interpreter, void (*exits)());

}  // namespace handoff::detail
