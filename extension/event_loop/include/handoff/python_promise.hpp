// python_promise<T>: a native thread makes a result, and Python awaits it.
#pragma once

#include <handoff/awaitable.hpp>
#include <handoff/event_loop/detail/result_state.hpp>

#include <exception>
#include <future>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

namespace handoff {

/// The reason why a result never arrived. In Python a RuntimeError.
class [[gnu::visibility("default")]] broken_promise : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Like std::promise, for a result that Python awaits through the awaitables that it returns.
///
///     handoff::python_promise<double> promise;
///     auto result = promise.get_awaitable();               // what the function returns
///     std::jthread([promise = std::move(promise)]() mutable {
///         std::stop_token const stop = promise.get_stop_token();
///         promise.set_value(measure(stop));                // without the GIL
///     }).detach();
///
/// Setting the result takes no GIL and never waits for a thread that has it. It moves the value.
/// The first of several results for a loop also costs a write to an eventfd.
///
/// If it is destroyed without a result, Python gets a broken_promise, as a RuntimeError. In the
/// child of a fork() a result has no effect.
///
/// GIL:     any; unchanged.
/// Threads: any; one thread sets it.
/// REQUIRES: T holds no Python objects.
template <class T>
class python_promise {
public:
    /// Throws: std::bad_alloc.
    python_promise()
        : python_promise(
              "nobody will make this result: its handoff::python_promise was destroyed before "
              "set_value() or set_exception() was called") {}
    /// With what the broken_promise says. REQUIRES: the text has static storage.
    explicit python_promise(char const* if_broken)
        : state_(std::make_shared<detail::result_of<T>>()), if_broken_(if_broken) {
        detail::refuse_as_result<T>();
    }

    ~python_promise() { give_up(); }

    python_promise(python_promise&&) noexcept = default;
    python_promise& operator=(python_promise&& other) noexcept {
        if (this != &other) {
            give_up();
            state_ = std::move(other.state_);
            if_broken_ = other.if_broken_;
        }
        return *this;
    }
    python_promise(python_promise const&) = delete;
    python_promise& operator=(python_promise const&) = delete;

    /// May be called several times, before or after the result is set.
    /// Throws: std::future_error: it was moved from; this holds for all members.
    [[nodiscard]] awaitable<T> get_awaitable() const { return awaitable<T>(state()); }

    /// Sets the result. Braces make a T: set_value({1, 2}).
    /// Throws: std::future_error: it already has a result; what moving the value throws.
    template <class Value = T>
        requires(!std::is_void_v<T> && std::is_constructible_v<T, Value&&>)
    void set_value(Value&& value) {
        state()->set_value(std::forward<Value>(value));
    }
    /// The same, where T is void.
    void set_value()
        requires std::is_void_v<T>
    {
        state()->set_value();
    }

    /// Python gets the exception as Boost.Python translates it: a python_error is the original
    /// Python exception; registered translators are used. For a null pointer it gets a ValueError.
    /// Throws: std::future_error: it already has a result.
    void set_exception(std::exception_ptr error) { state()->set_exception(std::move(error)); }

    /// Asked to stop when all futures are cancelled, or their loops closed. Callbacks run in the
    /// thread that cancels, without the GIL; if a loop is closed, in one of Handoff's threads. A
    /// future that is dropped is not cancelled: the loop keeps it until there is a result.
    [[nodiscard]] std::stop_token get_stop_token() const { return state()->stop_token(); }

private:
    [[nodiscard]] std::shared_ptr<detail::result_of<T>> const& state() const {
        if (state_ == nullptr) {
            throw std::future_error(std::future_errc::no_state);
        }
        return state_;
    }

    void give_up() noexcept {
        if (state_ != nullptr && !state_->is_settled()) {
            state_->set_exception_if_none(std::make_exception_ptr(broken_promise(if_broken_)));
        }
    }

    std::shared_ptr<detail::result_of<T>> state_;
    char const* if_broken_;
};

}  // namespace handoff
