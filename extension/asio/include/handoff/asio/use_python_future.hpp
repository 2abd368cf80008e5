// use_python_future: an Asio completion token that makes an operation return a Python future.
#pragma once

#include <handoff/awaitable.hpp>
#include <handoff/python_promise.hpp>

#include <boost/python/converter/arg_to_python.hpp>
#include <boost/python/exception_translator.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>
#include <boost/python/refcount.hpp>
#include <boost/python/tuple.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <exception>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace handoff {

/// The token's type. Kept: what lives until the operation has completed.
template <class... Kept>
struct use_python_future_t {
    std::tuple<Kept...> kept;

    /// The same token, whose operation also owns these until it has completed, for example a shared
    /// pointer to the timer or the socket.
    template <class... Also>
    [[nodiscard]] use_python_future_t<Kept..., Also...> keeping(Also... also) const {
        return {std::tuple_cat(kept, std::tuple<Also...>(std::move(also)...))};
    }
};

/// Pass it to an Asio operation, in a function that Python calls: Python gets a future with the
/// result of the operation.
///
///     boost::python::object connect(tcp::socket& socket, tcp::endpoint const& to) {
///         return socket.async_connect(to, handoff::use_python_future);   // in Python: await it
///     }
///     boost::python::object sleep(std::shared_ptr<asio::steady_timer> const& timer) {
///         return timer->async_wait(handoff::use_python_future.keeping(timer));
///     }
///
///     the calling thread     gets                            the handler's arguments
///     runs an event loop     an asyncio.Future               none: None; one: that; more: a tuple
///     runs none              a concurrent.futures.Future     an error: see asio_error
///
/// The operation completes on its own thread without the GIL. The thread that settles the future
/// converts the arguments: see awaitable. Cancelling the future does not cancel the operation: its
/// result is dropped then.
///
/// GIL:     held where the operation is started.
/// Threads: any.
/// Throws:  boost::python::error_already_set: RuntimeError if Python is ending, or the loop is
///          closed.
inline constexpr use_python_future_t<> use_python_future{};

/// The error with which an operation failed. In Python:
///
///     the error code               is raised as
///     of the system                the OSError of that errno, such as ConnectionRefusedError
///     asio::error::eof             EOFError
///     any other                    OSError, with the category's name, the number and the text
class [[gnu::visibility("default")]] asio_error : public boost::system::system_error {
public:
    using boost::system::system_error::system_error;

    /// Sets it as the Python error. GIL: held.
    void restore() const {
        auto const& failed = code();
        auto const text = failed.message();
        namespace py = boost::python;
        if (failed == boost::asio::error::eof) {
            PyErr_SetString(PyExc_EOFError, text.c_str());
        } else if (failed.category() == boost::system::system_category() ||
                   failed.category() == boost::system::generic_category()) {
            py::handle<> const arguments(Py_BuildValue("is", failed.value(), text.c_str()));
            PyErr_SetObject(PyExc_OSError, arguments.get());
        } else {
            PyErr_Format(PyExc_OSError, "%s %d: %s", failed.category().name(), failed.value(),
                         text.c_str());
        }
    }

    /// Makes Boost.Python raise it as described. Idempotent. GIL: held.
    static void register_translator() {
        [[maybe_unused]] static bool const is_registered =
            (boost::python::register_exception_translator<asio_error>(
                 [](asio_error const& thrown) { thrown.restore(); }),
             true);
    }
};

namespace detail {

/// Several arguments of a handler: in Python a tuple.
template <class... Values>
struct handler_arguments {
    std::tuple<Values...> values;
};

template <class... Values>
struct result_of_handler {
    using type = handler_arguments<Values...>;
};
template <>
struct result_of_handler<> {
    using type = void;
};
template <class Value>
struct result_of_handler<Value> {
    using type = Value;
};

/// A handler's promise.
template <class... Values>
class future_handler {
public:
    [[nodiscard]] boost::python::object future() const {
        return promise_.get_awaitable().to_python();
    }

protected:
    void succeed(Values... values) {
        if constexpr (sizeof...(Values) > 1) {
            promise_.set_value(handler_arguments<Values...>{{std::move(values)...}});
        } else {
            promise_.set_value(std::move(values)...);
        }
    }
    void fail(std::exception_ptr error) { promise_.set_exception(std::move(error)); }

private:
    python_promise<typename result_of_handler<Values...>::type> promise_;
};

/// A handler that is called with Given, of which the first may be an error.
template <class... Given>
class future_handler_of : public future_handler<Given...> {
public:
    void operator()(Given... values) { this->succeed(std::move(values)...); }
};

template <class... Given>
class future_handler_of<boost::system::error_code, Given...> : public future_handler<Given...> {
public:
    void operator()(boost::system::error_code const& error, Given... values) {
        if (error) {
            this->fail(std::make_exception_ptr(asio_error(error)));
        } else {
            this->succeed(std::move(values)...);
        }
    }
};

template <class... Given>
class future_handler_of<std::exception_ptr, Given...> : public future_handler<Given...> {
public:
    void operator()(std::exception_ptr error, Given... values) {
        if (error != nullptr) {
            this->fail(std::move(error));
        } else {
            this->succeed(std::move(values)...);
        }
    }
};

template <class Handler, class... Kept>
struct handler_with : Handler {
    explicit handler_with(std::tuple<Kept...> its) : kept(std::move(its)) {}
    std::tuple<Kept...> kept;
};

}  // namespace detail

}  // namespace handoff

// Asio finds here what the token makes of an operation.
template <class... Kept, class... Given>
class boost::asio::async_result<handoff::use_python_future_t<Kept...>, void(Given...)> {
public:
    using return_type = boost::python::object;

    template <class Initiation, class... Args>
    static return_type initiate(Initiation&& initiation,
                                handoff::use_python_future_t<Kept...> token, Args&&... args) {
        handoff::asio_error::register_translator();
        using handler_of_values = handoff::detail::future_handler_of<std::decay_t<Given>...>;
        handoff::detail::handler_with<handler_of_values, Kept...> handler(std::move(token.kept));
        auto future = handler.future();
        std::forward<Initiation>(initiation)(std::move(handler), std::forward<Args>(args)...);
        return future;
    }
};

// Boost.Python converts several arguments with this, without a registration.
template <class... Values>
struct boost::python::converter::arg_to_python<handoff::detail::handler_arguments<Values...>>
    : handle<> {
    // NOLINTNEXTLINE(misc-explicit-constructor): as Boost.Python's
    arg_to_python(handoff::detail::handler_arguments<Values...> const& converted)
        : handle<>(incref(
              std::apply([](auto const&... each) { return make_tuple(each...); }, converted.values)
                  .ptr())) {}
};
