// interruptible_call(f): calls f(std::stop_token) without the GIL; Ctrl-C and Python's end stop it.
#pragma once

#include <handoff/gil/gate.hpp>
#include <handoff/gil/wait.hpp>

#include <functional>
#include <future>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <type_traits>

namespace handoff {

namespace detail {

/// The token that asks a thread inside the gate to stop. A thread that was refused must stop at
/// once.
inline std::stop_token stop_of(passage const& in) {
    if (in.answer() == admission::not_open) {
        std::stop_source late;
        late.request_stop();
        return late.get_token();
    }
    return in.stop();
}

/// Calls f on a separate thread, and joins that thread before it returns. GIL: held.
template <class F>
class stoppable_thread {
public:
    stoppable_thread(F& f, std::stop_token const& at_the_end)
        : call_(std::ref(f)),
          at_the_end_(std::in_place, at_the_end, stop{stop_}),
          thread_(std::ref(call_), stop_.get_token()) {}
    ~stoppable_thread() {
        gil_release while_joining;
        at_the_end_.reset();
        stop_.request_stop();
        thread_.join();
    }
    stoppable_thread(stoppable_thread const&) = delete;
    stoppable_thread& operator=(stoppable_thread const&) = delete;

    [[nodiscard]] auto& result() noexcept { return result_; }

private:
    struct stop {
        std::stop_source& asked;
        void operator()() const noexcept { asked.request_stop(); }
    };

    std::packaged_task<std::invoke_result_t<F&, std::stop_token>(std::stop_token)> call_;
    decltype(call_.get_future()) result_ = call_.get_future();
    std::stop_source stop_;
    std::optional<std::stop_callback<stop>> at_the_end_;
    std::thread thread_;
};

}  // namespace detail

/// Calls f with the GIL released and a std::stop_token. The closing gate requests the stop. In
/// Python's main thread a signal whose handler raises, such as Ctrl-C, requests it too.
///
///     handoff::interruptible_call([&](std::stop_token stop) {
///         while (!stop.stop_requested() && improve(model)) {
///         }
///     });
///
///     the calling thread                 f runs on             is asked to stop by
///     Python's main one, with the GIL    a separate thread     a signal whose handler raises,
///                                                              the gate
///     any other                          the calling thread    the gate
///
/// Only the main thread can run signal handlers, so it waits while f runs on another thread.
///
/// GIL:      any on entry; the same on return. f is called without it, and may acquire it.
/// Threads:  any. From the main one, f does not see the caller's thread_local variables.
/// Returns:  what f returns; f decides what its result is after it was asked to stop.
/// Throws:   what f throws. If a signal handler raised, its exception as python_error, after f has
///           ended; the result or exception of f is dropped then. std::system_error if no thread
///           can be started.
template <class F>
std::invoke_result_t<F&, std::stop_token> interruptible_call(F&& f) {
    detail::passage const in("interruptible call");  // the name is for messages about late threads
    if (!gil_held() || _PyOS_IsMainThread() == 0) {
        gil_release while_calling;
        return std::invoke(f, detail::stop_of(in));
    }
    detail::stoppable_thread called(f, detail::stop_of(in));
    gil_wait(called.result());
    return called.result().get();
}

}  // namespace handoff
