// gil_acquire: the calling thread holds the GIL for as long as the guard lives.
#pragma once

#include <handoff/gil/held.hpp>
#include <handoff/gil/thread_state.hpp>
#include <handoff/gil/waiting.hpp>

namespace handoff {

/// Holds the GIL from construction to destruction, then restores what it found.
///
///     on entry                            in scope    cost             at the end
///     held by this thread                 held        a comparison     still held
///     not held, thread has a state        held        one take         released, state kept
///     not held, native thread, no state   held        a state is made  released, state deleted
///
/// A native thread that comes back often keeps its state with a gil_attachment, so that it is in
/// the second row, not the third (about ten times cheaper).
///
/// GIL:      any on entry; the same on return.
/// Threads:  any. Blocks until the GIL is free.
/// Throws:   std::bad_alloc when no thread state can be made.
/// REQUIRES: an interpreter that is initialised and not finalizing; destroyed by the thread that
///           made it, in reverse order of construction; no lock held that a holder of the GIL
///           might wait for.
class [[nodiscard]] gil_acquire {
public:
    gil_acquire() {
        if (gil_held()) {
            return;
        }
        PyThreadState* own = PyGILState_GetThisThreadState();
        did_ = own != nullptr ? deed::acquired : deed::made_a_state;
        if (own == nullptr) {
            own = detail::new_thread_state();
        }
        detail::await_gil([own] { PyEval_RestoreThread(own); });
    }

    ~gil_acquire() {
        if (did_ == deed::acquired) {
            PyEval_SaveThread();
        } else if (did_ == deed::made_a_state) {
            detail::delete_thread_state();
        }
    }

    gil_acquire(gil_acquire const&) = delete;
    gil_acquire& operator=(gil_acquire const&) = delete;

private:
    enum class deed { nothing, acquired, made_a_state };
    deed did_ = deed::nothing;
};

}  // namespace handoff
