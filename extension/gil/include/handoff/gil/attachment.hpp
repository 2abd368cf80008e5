// gil_attachment: gives a native thread its Python thread state once, for cheap later acquires.
#pragma once

#include <handoff/gil/acquire.hpp>
#include <handoff/gil/detail/thread_state.hpp>

namespace handoff {

/// Gives the calling native thread a Python thread state for as long as the attachment lives.
///
/// An attached thread does not hold the GIL. gil_acquire takes it, at about the cost of a bare
/// PyEval_RestoreThread/PyEval_SaveThread, instead of making and deleting a thread state each
/// time. The state also keeps `threading.local` values alive between two acquires.
/// On a thread that already has a state (Python's own threads, a nested attachment) it does
/// nothing.
///
///     std::thread worker([&] {
///         handoff::gil_attachment attached;
///         while (next(sample)) {
///             handoff::gil_acquire gil;
///             consumer(sample);
///         }
///     });
///
/// GIL:      any on entry; the same on return. The destructor acquires it for a moment.
/// Threads:  made and destroyed by the same thread.
/// Throws:   std::bad_alloc when no thread state can be made.
/// REQUIRES: an interpreter that is initialised and not finalizing, in the constructor and in
///           the destructor: join the thread before the interpreter ends.
class [[nodiscard]] HANDOFF_OF_ONE_THREAD gil_attachment {
public:
    [[nodiscard]] gil_attachment() {
        if (PyGILState_GetThisThreadState() == nullptr) {
            state_ = detail::new_thread_state();
        }
    }

    ~gil_attachment() {
        made_.assert_still_here("gil_attachment");
        if (state_ != nullptr) {
            detail::await_gil([this] { PyEval_RestoreThread(state_); });
            detail::delete_thread_state();
        }
    }

    gil_attachment(gil_attachment const&) = delete;
    gil_attachment& operator=(gil_attachment const&) = delete;

private:
    PyThreadState* state_ = nullptr;
    [[no_unique_address]] detail::made_here made_;
};

}  // namespace handoff
