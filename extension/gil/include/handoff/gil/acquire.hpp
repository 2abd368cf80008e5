// gil_acquire: the calling thread holds the GIL for as long as the guard lives.
#pragma once

#include <handoff/gil/detail/deferred_drop.hpp>
#include <handoff/gil/detail/kept_state.hpp>
#include <handoff/gil/detail/left_error.hpp>
#include <handoff/gil/detail/one_thread.hpp>
#include <handoff/gil/detail/waiting.hpp>
#include <handoff/gil/held.hpp>

namespace handoff {

namespace detail {

/// A caller passes it that has just asked gil_held().
struct not_held {};

}  // namespace detail

/// Holds the GIL from construction to destruction, then restores the state that it found.
///
///     on entry                            in scope    cost             at the end
///     held by this thread                 held        a comparison     still held
///     not held, thread has a state        held        one take         released, state kept
///     not held, native thread, no state   held        a state is made  released, state kept
///
/// So a native thread pays for a state once: the state is kept until the thread ends, or until the
/// end of a gil_attachment made before. The thread does not take the GIL when it ends. Its state,
/// with its threading.local values, is deleted when another native thread first acquires.
///
/// References that gil_owned gave up without the GIL are dropped when the GIL is taken.
///
/// A Python error may still be set when the GIL is released, where neither Python code nor an outer
/// guard could handle it. It would come up in the thread's next hold. So it goes to
/// sys.unraisablehook and is cleared. This also happens when boost::python::error_already_set
/// leaves the scope: catch it inside.
///
/// GIL:      any on entry; the same on return.
/// Threads:  any. Blocks until the GIL is free.
/// Throws:   std::bad_alloc when no thread state can be made.
/// REQUIRES: an interpreter that is initialised and not finalizing; destroyed by the thread that
///           made it, in reverse order of construction; no lock held that a holder of the GIL
///           might wait for.
class [[nodiscard]] HANDOFF_OF_ONE_THREAD gil_acquire {
public:
    [[nodiscard]] gil_acquire() {
        if (!gil_held()) {
            take();
        }
    }
    [[nodiscard]] explicit gil_acquire(detail::not_held) { take(); }

    ~gil_acquire() {
        made_.assert_still_here("gil_acquire");
        if (taken_with_ != nullptr) {
            if (detail::has_error(taken_with_)) [[unlikely]] {
                detail::report_left_error();
            }
            PyEval_SaveThread();
        }
    }

    gil_acquire(gil_acquire const&) = delete;
    gil_acquire& operator=(gil_acquire const&) = delete;

private:
    void take() {
        PyThreadState* own = PyGILState_GetThisThreadState();
        if (own == nullptr) [[unlikely]] {
            detail::assert_no_mutex_held();
            detail::acquire_with_new_state();
            own = PyThreadState_Get();
        } else {
            detail::await_gil([own] { PyEval_RestoreThread(own); });
        }
        taken_with_ = own;
        detail::drops.drop_if_any();
    }

    PyThreadState* taken_with_ = nullptr;
    [[no_unique_address]] detail::made_here made_;
};

}  // namespace handoff
