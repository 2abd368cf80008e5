// completion_handler<T>: a callback interface calls it, and Python awaits the result.
#pragma once

#include <handoff/operation_error.hpp>
#include <handoff/python_promise.hpp>

#include <exception>
#include <memory>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>

namespace handoff {

namespace detail {

/// It can be called with a result and with an error, for any T.
template <class T>
class completion_handler_base {
public:
    completion_handler_base() : promise_(std::make_shared<python_promise<T>>()) {}

    /// The result that the handler is called with.
    [[nodiscard]] awaitable<T> get_awaitable() const { return promise_->get_awaitable(); }

    [[nodiscard]] std::stop_token get_stop_token() const { return promise_->get_stop_token(); }

    void operator()(std::exception_ptr error) const {
        if constexpr (std::is_void_v<T>) {
            if (error == nullptr) {  // some interfaces report success in this way
                promise_->set_value();
                return;
            }
        }
        promise_->set_exception(std::move(error));
    }

protected:
    void fail(std::error_code const& error) const {
        promise_->set_exception(std::make_exception_ptr(operation_error(error)));
    }
    [[nodiscard]] python_promise<T>& promise() const noexcept { return *promise_; }

private:
    std::shared_ptr<python_promise<T>> promise_;
};

}  // namespace detail

/// A function object, whose copies share one result, for interfaces that call back:
///
///     handoff::completion_handler<std::size_t> handler;
///     socket.async_read_some(buffer, handler);             // void(error_code, std::size_t)
///     return handler.get_awaitable();
///
///     called with              Python gets
///     a value                  the value
///     a std::exception_ptr     the exception, as Boost.Python translates it; for a null pointer
///                              None if T is void, and a ValueError otherwise
///     an error_code, a value   the value; if the code is an error, the OSError that
///                              operation_error describes. A boost::system::error_code converts to
///                              std::error_code by itself
///
/// If T is void, it takes no value. If its last copy is destroyed before a call, Python gets a
/// broken_promise.
///
/// GIL:     any; unchanged; see python_promise.
/// Threads: any.
/// Throws:  from a call: std::future_error: it was called before.
template <class T>
class completion_handler : public detail::completion_handler_base<T> {
public:
    using detail::completion_handler_base<T>::operator();

    void operator()(T value) const { this->promise().set_value(std::move(value)); }
    void operator()(std::error_code const& error, T value) const {
        if (error) {
            this->fail(error);
        } else {
            this->promise().set_value(std::move(value));
        }
    }
};

template <>
class completion_handler<void> : public detail::completion_handler_base<void> {
public:
    using detail::completion_handler_base<void>::operator();

    void operator()() const { promise().set_value(); }
    void operator()(std::error_code const& error) const {
        if (error) {
            fail(error);
        } else {
            promise().set_value();
        }
    }
};

}  // namespace handoff
