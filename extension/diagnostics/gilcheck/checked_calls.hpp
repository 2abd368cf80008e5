// checked_calls: redirects calls into Python through a check that the GIL is held.
#pragma once

#include "loaded_objects.hpp"

#include <atomic>
#include <cstddef>

namespace handoff::detail {

/// A Python function that is checked. The assembly knows its place and layout.
struct checked_call {
    std::atomic<void*> function = nullptr;
    char const* name = nullptr;
};

/// From now on, checks the calls that each loaded object makes into the interpreter, except the
/// interpreter's own. Idempotent; repeat it after other objects were loaded.
///
/// interpreter: null: there is none yet, and only loads are watched.
/// Returns: how many slots were changed.
/// Threads: one at a time. Allocates nothing.
std::size_t check_calls_into(loaded_object const* interpreter);

/// Called, on the thread and with the arguments saved, for each call by a thread that does not hold
/// the GIL; the function is called when it returns. Returns: whether the thread may call, because
/// it is attached to a Python whose threads attach without an event; then on_slow_call follows.
using violation_handler = bool (*)(checked_call const& call, void* return_address);
extern std::atomic<violation_handler> on_violation;

/// Called for each call by a thread that holds the GIL, while its handoff_calls_go_on is false.
extern std::atomic<void (*)() noexcept> on_early_call;

/// The same, after on_early_call. arguments: the first six, as the registers have them.
using slow_call_handler = void (*)(char const* name, void* const* arguments) noexcept;
extern std::atomic<slow_call_handler> on_slow_call;

/// Called after each function of the C API that releases or acquires the GIL, for a Python that has
/// no events of its GIL. Set it before check_calls_into(), once.
extern std::atomic<void (*)() noexcept> on_gil_function;

/// Where the calling thread last released the GIL by one of the C API's functions, as a return
/// address; null: it never did.
[[nodiscard]] void const* last_release() noexcept;

/// Calls `look` before each dlopen() and dlsym() that a loaded object makes from now on, so that
/// what dlopen() has loaded is seen before it can be found and called.
void watch_for_loads(void (*look)());

}  // namespace handoff::detail
