// python_loop: a Python event loop, as native threads use it.
#pragma once

#include <handoff/event_loop/detail/coroutine_run.hpp>

#include <boost/python/object.hpp>

#include <memory>
#include <stdexcept>
#include <utility>

namespace handoff {

/// The result of a coroutine whose loop was closed before the coroutine ended or was requested.
class [[gnu::visibility("default")]] loop_closed : public std::runtime_error {
public:
    loop_closed()
        : std::runtime_error(
              "the event loop of Python that was to run this coroutine is closed: run it in a loop "
              "that lasts longer, or wait for it before the loop ends") {}
};

/// A loop that may run in any Python thread, and need not run yet. It does not keep the loop alive.
///
/// GIL:     held to make one. Any for all else.
/// Threads: any; copies are the same loop.
class python_loop {
public:
    /// Throws: boost::python::error_already_set: what `loop` raises when it is used
    ///         (AttributeError,
    ///         TypeError: it is not an event loop); RuntimeError: it is closed.
    explicit python_loop(boost::python::object const& loop) : runs_(detail::runs_of(loop)) {}

    /// The loop that runs in this thread.
    /// Throws: boost::python::error_already_set: RuntimeError: no loop runs in this thread.
    [[nodiscard]] static python_loop running() { return python_loop(detail::running_loop()); }

    /// For run_coroutine().
    [[nodiscard]] std::shared_ptr<detail::coroutine_runs> const& runs() const noexcept {
        return runs_;
    }

private:
    std::shared_ptr<detail::coroutine_runs> runs_;
};

}  // namespace handoff
