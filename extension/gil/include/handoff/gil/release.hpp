// gil_release: the calling thread lets go of the GIL for as long as the guard lives.
#pragma once

#include <handoff/gil/detail/left_error.hpp>
#include <handoff/gil/detail/one_thread.hpp>
#include <handoff/gil/detail/waiting.hpp>
#include <handoff/gil/held.hpp>

namespace HANDOFF_GUARDS {

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
/// The GIL also kept other threads out of the code that holds it. In scope it does not: another
/// Python thread may call the same function on the same object. Two that join one std::thread wait
/// for ever, so what the scope touches needs a mutex of its own, locked after the release, or is
/// moved into a local variable before:
///
///     std::thread ended = std::move(worker_);  // under the GIL: for one caller only
///     gil_release while_joining;
///     if (ended.joinable()) { ended.join(); }
///
/// GIL:      any on entry; the same on return, also when an exception passes.
/// Threads:  any.
/// REQUIRES: no Python object is touched in scope; destroyed by the thread that made it, in
///           reverse order of construction.
class [[nodiscard]] gil_release {
public:
    gil_release() noexcept : saved_(gil_held() ? PyEval_SaveThread() : nullptr) {
        if (saved_ != nullptr) {
            ++detail::releases_in_scope;
        }
    }

    ~gil_release() {
        made_.assert_still_here("gil_release");
        if (saved_ != nullptr) {
            --detail::releases_in_scope;
            detail::await_gil([this] { PyEval_RestoreThread(saved_); });
        }
    }

    gil_release(gil_release const&) = delete;
    gil_release& operator=(gil_release const&) = delete;

private:
    PyThreadState* saved_;
    [[no_unique_address]] detail::made_here made_;
};

}  // namespace HANDOFF_GUARDS
