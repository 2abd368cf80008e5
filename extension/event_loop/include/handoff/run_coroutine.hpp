// run_coroutine<T>(): runs a coroutine in Python's event loop for a native thread, which gets its
// result.
#pragma once

#include <handoff/boost_python/detail/in_python.hpp>
#include <handoff/event_loop/detail/coroutine_run.hpp>
#include <handoff/gil/owned.hpp>
#include <handoff/gil/shared.hpp>
#include <handoff/python_loop.hpp>

#include <boost/python/object.hpp>

#include <coroutine>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

namespace handoff {

/// A coroutine that Python's loop runs. Dropping this object does not change the coroutine; its
/// exception is then lost.
///
/// A C++ coroutine can await it. The C++ coroutine continues in the loop's thread with the GIL
/// released, and blocks the loop until it is suspended again. If the result is already there, it
/// continues at once. resume_on() makes it continue elsewhere.
///
/// GIL:     any; unchanged. A thread that holds it waits with gil_wait(): the coroutine needs the
///          GIL.
/// Threads: any, one at a time.
template <class T>
class [[nodiscard("what the coroutine raises is lost with it")]] coroutine_result {
public:
    coroutine_result(std::shared_ptr<detail::coroutine_runs> in,
                     std::shared_ptr<detail::coroutine_run_of<T>> run)
        : in_(std::move(in)), run_(std::move(run)), future_(run_->promise.get_future()) {}

    /// Its result; or, as exceptions: a python_error with what it raised, CancelledError included;
    /// loop_closed. Empty afterwards.
    /// REQUIRES: the thread that waits is not the thread that runs the loop.
    [[nodiscard]] std::future<T> get_future() noexcept { return std::move(future_); }

    /// Makes the loop cancel the task, as Task.cancel() does: the coroutine may refuse. Does
    /// nothing if it has ended.
    void cancel() const noexcept { detail::cancel(*in_, *run_); }

    /// cancel(), when the token is asked to stop, for as long as this object lives.
    coroutine_result& cancel_with(std::stop_token const& token) {
        stopped_ = std::make_unique<std::stop_callback<canceller>>(token, canceller{in_, run_});
        return *this;
    }

    /// The object that awaits it.
    struct awaiter {
        // NOLINTBEGIN(readability-identifier-naming): names of C++'s
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        [[nodiscard]] bool await_suspend(std::coroutine_handle<> rest) const {
            auto const run = of.run_;  // `of` may be destroyed as soon as it is notified
            if (executor == nullptr) {
                return run->when_ended(rest);
            }
            auto const go_on = [rest, executor = executor] { executor(rest); };
            if (!run->when_ended(go_on)) {
                go_on();
            }
            return true;
        }
        T await_resume() const { return of.future_.get(); }
        // NOLINTEND(readability-identifier-naming)

        coroutine_result& of;
        std::function<void(std::coroutine_handle<>)> executor = nullptr;
    };

    awaiter operator co_await() & noexcept { return {*this}; }
    awaiter operator co_await() && noexcept { return {*this}; }

    /// To be awaited: executor(rest) is called in the loop's thread with the GIL released, or at
    /// once in this thread if the result is already there. It makes rest.resume() run where it
    /// wants. If the loop is closed, it is called in one of Handoff's threads.
    ///
    ///     co_await run.resume_on([&](auto rest) { boost::asio::post(pool, rest); });
    [[nodiscard]] awaiter resume_on(
        std::function<void(std::coroutine_handle<>)> executor) noexcept {
        return {*this, std::move(executor)};
    }

private:
    struct canceller {
        std::shared_ptr<detail::coroutine_runs> in;
        std::shared_ptr<detail::coroutine_run_of<T>> run;
        void operator()() const noexcept { detail::cancel(*in, *run); }
    };

    std::shared_ptr<detail::coroutine_runs> in_;
    std::shared_ptr<detail::coroutine_run_of<T>> run_;
    std::future<T> future_;
    std::unique_ptr<std::stop_callback<canceller>> stopped_;
};

namespace detail {

template <class T, class Make>
coroutine_result<T> run_by(python_loop const& loop, Make make) {
    auto run = std::make_shared<coroutine_run_by<T, Make>>(std::move(make));
    coroutine_result<T> result(loop.runs(), run);
    start(*loop.runs(), run);
    return result;
}

}  // namespace detail

/// Makes the loop run a coroutine, as asyncio.run_coroutine_threadsafe() does: function(arguments…)
/// is called in the loop's thread, where the arguments are converted, too. The caller needs
/// no GIL, and does not wait.
///
///     handoff::python_loop const loop = handoff::python_loop::running();      // with the GIL
///     handoff::gil_shared<object> const fetch(module.attr("fetch"));          // with the GIL
///     ...
///     auto page = handoff::run_coroutine<std::string>(loop, fetch, address);  // in any thread
///     show(page.get_future().get());
///
/// GIL:      any; unchanged.
/// Threads:  any.
/// Throws:   std::bad_alloc. All else is in the result.
/// REQUIRES: T and the arguments are C++ types that hold no Python objects.
template <class T, class... Arguments>
coroutine_result<T> run_coroutine(python_loop const& loop,
                                  gil_shared<boost::python::object> function,
                                  Arguments... arguments) {
    detail::refuse_what_needs_the_gil<T, Arguments...>();
    return detail::run_by<T>(loop, [function = std::move(function),
                                    kept = std::tuple<Arguments...>(std::move(arguments)...)] {
        return std::apply(
            [&](auto const&... each) {
                return detail::call_python<boost::python::object>(
                    detail::python_callee{.object = function.get()}, each...);
            },
            kept);
    });
}

/// The same with a coroutine object, or another awaitable Python object, which is used up.
template <class T>
coroutine_result<T> run_coroutine(python_loop const& loop,
                                  gil_owned<boost::python::object> coroutine) {
    detail::refuse_what_needs_the_gil<T>();
    return detail::run_by<T>(loop, [coroutine = std::move(coroutine)] { return coroutine.get(); });
}

}  // namespace handoff
