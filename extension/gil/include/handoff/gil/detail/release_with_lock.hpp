// release_with_lock: a thread releases the GIL, locks a mutex, and takes the GIL again with it.
#pragma once

#include <handoff/gil/detail/left_error.hpp>
#include <handoff/gil/detail/waiting.hpp>
#include <handoff/gil/gate.hpp>

#include <optional>

namespace handoff::detail {

/// Like gil_release. No Python code runs when it takes the GIL again, also not to drop references,
/// because that code could want the mutex, which this thread has.
/// GIL: held on entry, and at the end.
class release_with_lock {
public:
    release_with_lock() noexcept : saved_(PyEval_SaveThread()) { ++releases_in_scope; }
    ~release_with_lock() {
        --releases_in_scope;
        await_gil([this] { PyEval_RestoreThread(saved_); });
    }
    release_with_lock(release_with_lock const&) = delete;
    release_with_lock& operator=(release_with_lock const&) = delete;

private:
    PyThreadState* saved_;
};

/// A thread that asks for the GIL when Python is ending may never get it, and would keep forever
/// what it has locked. The thread that ends the process would wait for that, for example in a
/// logger's destructor. So the thread is inside the gate, which closes before Python ends, until it
/// has the GIL.
///
///     way_back to_the_gil;
///     release_with_lock while_waiting;
///     mutex.lock();
///     if (!to_the_gil.is_open()) { mutex.unlock(); }  // and keeps no thread waiting
class way_back {
public:
    /// Call it when the thread is about to take the GIL. If there is no gate, it is open.
    [[nodiscard]] bool is_open() noexcept {
        admission const answer = in_.emplace().answer();
        return answer == admission::granted || answer == admission::never_opened;
    }

private:
    std::optional<passage> in_;
};

}  // namespace handoff::detail
