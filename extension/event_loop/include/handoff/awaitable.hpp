// awaitable<T>: a C++ result that is not ready yet, and that Python awaits.
#pragma once

#include <handoff/event_loop/detail/attendant.hpp>
#include <handoff/event_loop/detail/result_state.hpp>

#include <boost/python/converter/arg_to_python.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>
#include <boost/python/refcount.hpp>
#include <boost/python/to_python_value.hpp>

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace handoff {

template <class T>
class python_promise;

namespace detail {

template <class Future, class T>
class watched_future_of final : public watched_future {
public:
    watched_future_of(Future awaited, std::shared_ptr<result_of<T>> to)
        : awaited_(std::move(awaited)), to_(std::move(to)) {}

    [[nodiscard]] bool is_ready_within(std::chrono::microseconds time) override {
        return awaited_.wait_for(time) == std::future_status::ready;
    }

    void settle() noexcept override {
        try {
            if constexpr (std::is_void_v<T>) {
                awaited_.get();
                to_->set_value();
            } else {
                to_->set_value(awaited_.get());
            }
        } catch (...) {
            to_->set_exception_if_none(std::current_exception());
        }
    }

private:
    Future awaited_;
    std::shared_ptr<result_of<T>> to_;
};

}  // namespace detail

/// The return type of a function whose result Python awaits. Each time that it is converted to
/// Python, as Boost.Python converts what a function returns, it becomes a Python future:
///
///     the calling thread         gets                        which is settled by
///     runs an event loop         an asyncio.Future           the thread of that loop
///     runs none                  a concurrent.futures.Future a thread of Handoff's, through the
///                                                            gate
///
///     handoff::awaitable<image> take(camera& from) {
///         auto promise = std::make_shared<handoff::python_promise<image>>();
///         from.take([promise](image taken) { promise->set_value(std::move(taken)); });
///         return promise->get_awaitable();
///     }
///     ...
///     def("take", &take);                       // in Python: picture = await take(camera)
///
/// The thread that settles the future converts the value to Python, with the GIL held; the thread
/// that made the value never does. The same holds for an exception, as Boost.Python translates it.
///
/// Cancellation: when the last of its futures is cancelled, or its loop is closed, the promise's
/// std::stop_token is asked to stop. A result that still arrives is dropped.
///
/// GIL:     held to convert it. Any for all else.
/// Threads: any; copies share the result, as those of std::shared_future.
/// REQUIRES: T holds no Python objects, and any thread may destroy it, with the GIL or without.
template <class T>
class awaitable {
public:
    /// One of Handoff's threads waits for it: docs/await.md says what that costs. It cannot be
    /// stopped: if Python's future is cancelled, the result is dropped.
    /// Throws: std::invalid_argument: it is deferred, so no thread would ever make its result;
    ///         std::future_error: it has no state; std::system_error: no thread can be started.
    // NOLINTNEXTLINE(misc-explicit-constructor): it is what a function returns
    awaitable(std::future<T> made) : awaitable(watched(std::move(made))) {}
    // NOLINTNEXTLINE(misc-explicit-constructor): as above
    awaitable(std::shared_future<T> made) : awaitable(watched(std::move(made))) {}

    /// A Python future. GIL: held. Throws: boost::python::error_already_set: RuntimeError if Python
    /// is ending, or the loop is closed.
    [[nodiscard]] boost::python::object to_python() const { return detail::future_of(state_); }

private:
    friend class python_promise<T>;

    using state = detail::result_of<T>;

    explicit awaitable(std::shared_ptr<state> of) : state_(std::move(of)) {
        detail::refuse_as_result<T>();
    }

    template <class Future>
    static std::shared_ptr<state> watched(Future made) {
        if (!made.valid()) {
            throw std::future_error(std::future_errc::no_state);
        }
        if (made.wait_for(std::chrono::seconds(0)) == std::future_status::deferred) {
            throw std::invalid_argument(
                "handoff::awaitable of a deferred std::future, whose function no thread would ever "
                "call: use std::launch::async");
        }
        auto const to = std::make_shared<state>();
        detail::watch(std::make_unique<detail::watched_future_of<Future, T>>(std::move(made), to));
        return to;
    }

    std::shared_ptr<state> state_;
};

}  // namespace handoff

// Boost.Python finds these without a registration.
namespace boost::python {

template <class T>
struct to_python_value<handoff::awaitable<T> const&> {
    PyObject* operator()(handoff::awaitable<T> const& converted) const {
        return incref(converted.to_python().ptr());
    }
    // NOLINTNEXTLINE(readability-convert-member-functions-to-static): as Boost.Python calls it
    [[nodiscard]] PyTypeObject const* get_pytype() const { return nullptr; }
    static constexpr bool uses_registry = false;
};
template <class T>
struct to_python_value<handoff::awaitable<T>&> : to_python_value<handoff::awaitable<T> const&> {};

namespace converter {

template <class T>
struct arg_to_python<handoff::awaitable<T>> : handle<> {
    // NOLINTNEXTLINE(misc-explicit-constructor): as Boost.Python's
    arg_to_python(handoff::awaitable<T> const& converted)
        : handle<>(incref(converted.to_python().ptr())) {}
};

}  // namespace converter

}  // namespace boost::python
