// gil_release: the calling thread releases the GIL for as long as the guard lives.
#pragma once

#include <handoff/gil/detail/deferred_drop.hpp>
#include <handoff/gil/detail/left_error.hpp>
#include <handoff/gil/detail/one_thread.hpp>
#include <handoff/gil/detail/waiting.hpp>
#include <handoff/gil/held.hpp>

namespace handoff {

namespace detail {
/// Passed by a function that Python has called, whose thread therefore holds the GIL.
struct called_by_python {};
}  // namespace detail

/// Releases the GIL from construction to destruction, then restores the state that it found.
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
/// The GIL also kept other threads out of the code that holds it. In scope it does not: another
/// Python thread may call the same function on the same object. If two threads join one
/// std::thread, they wait forever. So move what the scope uses into a local variable before, or
/// protect it with a mutex, which is locked after the release and unlocked before the GIL is taken
/// again:
///
///     std::thread ended = std::exchange(worker_, std::thread());  // for one caller only
///     gil_release while_joining;
///     if (ended.joinable()) { ended.join(); }
///
/// Where Python has no GIL, two callers may be in the exchange at once: lock a mutex for it.
///
/// GIL:      any on entry; the same on return, also when an exception passes.
/// Threads:  any.
/// REQUIRES: no Python object is touched in scope; destroyed by the thread that made it, in
///           reverse order of construction.
class [[nodiscard]] HANDOFF_OF_ONE_THREAD gil_release {
public:
    [[nodiscard]] gil_release() noexcept : saved_(gil_held() ? PyEval_SaveThread() : nullptr) {
        if (saved_ != nullptr) {
            ++detail::releases_in_scope;
        }
    }

    [[nodiscard]] explicit gil_release(detail::called_by_python /*so it is held*/) noexcept
        : saved_(PyEval_SaveThread()) {
        ++detail::releases_in_scope;
    }

    ~gil_release() {
        made_.assert_still_here("gil_release");
        if (saved_ != nullptr) {
            --detail::releases_in_scope;
            detail::await_gil([this] { PyEval_RestoreThread(saved_); });
            detail::drops.drop_if_any();
        }
    }

    gil_release(gil_release const&) = delete;
    gil_release& operator=(gil_release const&) = delete;

private:
    PyThreadState* saved_;
    [[no_unique_address]] detail::made_here made_;
};

}  // namespace handoff
