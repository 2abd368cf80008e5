// gil_events: who waits for the GIL, takes it and drops it, at the moment it happens.
#pragma once

#include "loaded_objects.hpp"

#include <atomic>
#include <pthread.h>
#include <sys/types.h>

/// Whether the calling thread holds the GIL of the main interpreter. C's name and fixed place, as
/// assembly reads it.
extern "C" [[gnu::tls_model("initial-exec")]] constinit thread_local bool handoff_gil_held;

namespace handoff::detail {

/// Who has the GIL now; all zero: nobody.
struct gil_holder {
    pid_t id = 0;
    pthread_t thread = 0;
};

/// What to call, on the thread concerned, with CPython's own lock of the GIL held: they wait for
/// nothing, and allocate nothing.
struct gil_listener {
    void (*waits)() noexcept = []() noexcept {
    };  // once for each take that does not succeed at once
    void (*takes)() noexcept = []() noexcept {};
    void (*drops)() noexcept = []() noexcept {};
};

/// Listens from now on and for ever. CPython tells other threads by two condition variables: one is
/// signalled when a thread has taken the GIL, the other when it has dropped it, and is what a
/// thread waits for with a timeout. The object that contains the interpreter makes these calls
/// through its global offset table, also where it is a program without symbols.
///
/// held:    whether the calling thread holds the GIL; no other has it then.
/// Returns: whether the calls were found. A GIL that is a subinterpreter's own is not listened to.
/// Threads: once.
/// Source:  take_gil() and drop_gil() in CPython's Python/ceval_gil.h (from 3.12 on ceval_gil.c).
[[nodiscard]] bool listen_to_gil(loaded_object const& interpreter, bool held,
                                 gil_listener const& listener);

[[nodiscard]] gil_holder holder_of_gil() noexcept;

}  // namespace handoff::detail
