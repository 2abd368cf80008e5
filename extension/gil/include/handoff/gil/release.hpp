// gil_release: the calling thread lets go of the GIL for as long as the guard lives.
#pragma once

#include <handoff/gil/held.hpp>
#include <handoff/gil/detail/waiting.hpp>

namespace handoff {

/// Releases the GIL from construction to destruction, then restores what it found.
///
///     on entry                in scope    at the end
///     held by this thread     released    held again (waits for it)
///     not held                released    still not held
///
/// Put one around every join, wait, sleep, lock and read that may block:
///
///     gil_release while_joining;
///     worker.join();
///
/// GIL:      any on entry; the same on return, also when an exception passes.
/// Threads:  any.
/// REQUIRES: no Python object is touched in scope; destroyed by the thread that made it, in
///           reverse order of construction.
class [[nodiscard]] gil_release {
public:
    gil_release() noexcept : saved_(gil_held() ? PyEval_SaveThread() : nullptr) {}

    ~gil_release() {
        if (saved_ != nullptr) {
            detail::await_gil([this] { PyEval_RestoreThread(saved_); });
        }
    }

    gil_release(gil_release const&) = delete;
    gil_release& operator=(gil_release const&) = delete;

private:
    PyThreadState* saved_;
};

}  // namespace handoff
