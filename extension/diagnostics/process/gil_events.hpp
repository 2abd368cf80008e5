// gil_events: which thread waits for the GIL, takes it and drops it, at the moment it happens.
#pragma once

#include "loaded_objects.hpp"

#include <atomic>
#include <cstddef>
#include <pthread.h>
#include <sys/types.h>

/// Whether the calling thread holds the GIL of the main interpreter. It has a C name and a fixed
/// place, because assembly reads it.
extern "C" [[gnu::tls_model("initial-exec"),
             gnu::visibility("hidden")]] constinit thread_local bool handoff_gil_held;

/// Whether the thread's calls into Python go on at once: while it holds the GIL, unless a listener
/// has set this to false since the thread took it.
extern "C" [[gnu::tls_model("initial-exec"),
             gnu::visibility("hidden")]] constinit thread_local bool handoff_calls_go_on;

namespace handoff::detail {

/// Which thread has the GIL now; all zero: none.
struct gil_holder {
    pid_t id = 0;
    pthread_t thread = 0;
};

/// The functions to call, on the thread concerned, with CPython's own lock of the GIL held: one at
/// a time, and none waits for anything that a holder of the GIL might do. Null: nothing.
struct gil_listener {
    void (*waits)() noexcept = nullptr;  // once for each take that does not succeed at once
    void (*asks)() noexcept = nullptr;  // a thread has waited a switch interval, and asks the
                                        // holder to drop the GIL
    void (*takes)() noexcept = nullptr;
    void (*drops)() noexcept = nullptr;
};

/// How many listeners there can be at a time, in one object of the process: one for each tool, and
/// two more for gilcheck, which watches locks and takes figures.
inline constexpr std::size_t most_gil_listeners = 6;

/// Listens from now on, until that listener is dismissed. CPython notifies other threads by two
/// condition variables: one is signalled when a thread has taken the GIL, the other when it has
/// dropped it; a thread waits for the latter with a timeout. The object that contains the
/// interpreter makes these calls through its global offset table, even if it is a program without
/// symbols.
///
/// held:     whether the calling thread holds the GIL; no other thread holds it then.
/// listener: lives forever.
/// Returns:  whether the calls were found, and there is room for the listener. A GIL that is a
///           subinterpreter's own is not listened to.
/// Threads:  one at a time.
/// Source:   take_gil() and drop_gil() in CPython's Python/ceval_gil.h (from 3.12 on ceval_gil.c).
[[nodiscard]] bool listen_to_gil(loaded_object const& interpreter, bool held,
                                 gil_listener const& listener);

/// It is not called any more, except by a thread that has just begun to. GIL: held.
void dismiss(gil_listener const& listener) noexcept;

[[nodiscard]] gil_holder holder_of_gil() noexcept;

/// Reports that the calling thread has dropped the GIL, if it holds it. Call it when Python has
/// ended, on the thread that ended it: it held the GIL to the last, and CPython does not drop it.
void gil_is_gone() noexcept;

/// The calling thread's id in the system; stored, so it costs nothing.
[[nodiscard]] pid_t own_thread_id() noexcept;

/// Whether the thread of this process with this id has ended.
[[nodiscard]] bool has_ended(pid_t thread) noexcept;

}  // namespace handoff::detail
