// use_python_future: an Asio completion token that makes an operation return a Python future.
#pragma once

#include <handoff/awaitable.hpp>
#include <handoff/boost_python/detail/python_object.hpp>
#include <handoff/operation_error.hpp>
#include <handoff/python_promise.hpp>

#include <boost/python/converter/arg_to_python.hpp>
#include <boost/python/exception_translator.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>
#include <boost/python/refcount.hpp>
#include <boost/python/tuple.hpp>

#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/version.hpp>
#if BOOST_ASIO_VERSION >= 101900
#define HANDOFF_ASIO_HAS_CANCELLATION_SLOTS
#include <boost/asio/cancellation_signal.hpp>
#endif
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <exception>
#include <memory>
#include <new>
#include <stop_token>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace handoff {

namespace detail {

/// What has an object of Asio's cancel its operations, where its executor runs it.
template <class Object>
class cancelled_object {
public:
    explicit cancelled_object(std::shared_ptr<Object> its) : its_(std::move(its)) {}

    /// GIL: any; unchanged.
    void cancel() const noexcept {
        try {
            boost::asio::post(its_->get_executor(), [its = its_] {
                try {
                    its->cancel();
                    // NOLINTNEXTLINE(bugprone-empty-catch): it is closed, and nothing goes on
                } catch (boost::system::system_error const&) {
                }
            });
        } catch (std::bad_alloc const&) {  // NOLINT(bugprone-empty-catch): the operation goes on
        }
    }

private:
    std::shared_ptr<Object> its_;
};

template <class Kept>
inline constexpr bool is_cancelled = false;
template <class Object>
inline constexpr bool is_cancelled<cancelled_object<Object>> = true;

#ifdef HANDOFF_ASIO_HAS_CANCELLATION_SLOTS

/// What has an operation of Asio's cancelled by its own slot, where that executor runs it.
template <class Executor>
class cancelled_operation {
public:
    explicit cancelled_operation(Executor on) : on_(std::move(on)) {}

    /// Of a signal that is used where the executor runs it.
    [[nodiscard]] boost::asio::cancellation_slot slot() const noexcept { return signal_->slot(); }

    /// GIL: any; unchanged.
    void cancel() const noexcept {
        try {
            boost::asio::post(on_, [signal = std::weak_ptr(signal_)] {
                if (auto const its = signal.lock()) {  // else it has completed
                    its->emit(boost::asio::cancellation_type::terminal);
                }
            });
        } catch (std::bad_alloc const&) {  // NOLINT(bugprone-empty-catch): the operation goes on
        }
    }

private:
    Executor on_;
    std::shared_ptr<boost::asio::cancellation_signal> signal_ =
        std::make_shared<boost::asio::cancellation_signal>();
};

template <class Executor>
inline constexpr bool is_cancelled<cancelled_operation<Executor>> = true;

template <class... Kept>
boost::asio::cancellation_slot slot_of(std::tuple<Kept...> const& kept) noexcept {
    boost::asio::cancellation_slot found;
    auto const look = [&](auto const& each) {
        if constexpr (requires { each.slot(); }) {
            found = each.slot();
        }
    };
    std::apply([&](auto const&... each) { (look(each), ...); }, kept);
    return found;
}

#endif

}  // namespace detail

/// The token's type. Kept: what lives until the operation has completed.
template <class... Kept>
struct use_python_future_t {
    std::tuple<Kept...> kept;

    /// The same token, whose operation also owns these until it has completed, for example a shared
    /// pointer to the timer or the socket. They are dropped without the GIL: keep a Python object
    /// in a gil_owned or gil_shared.
    template <class... Also>
        requires(!detail::holds_python_object<Also> && ...)
    [[nodiscard]] use_python_future_t<Kept..., Also...> keeping(Also... also) const {
        return {std::tuple_cat(kept, std::tuple<Also...>(std::move(also)...))};
    }

    /// The same with a timer or a socket, say, that is cancelled when Python cancels the future:
    /// object->cancel() is called where object->get_executor() runs it, and cancels all that is
    /// pending on that object.
    template <class Object>
    [[nodiscard]] auto cancelling(std::shared_ptr<Object> object) const {
        return keeping(detail::cancelled_object<Object>(std::move(object)));
    }

#ifdef HANDOFF_ASIO_HAS_CANCELLATION_SLOTS
    /// The same for an operation that has no such object, as a coroutine of co_spawn(): its
    /// cancellation slot gets `terminal`, where `on` runs it. Since Boost 1.77.
    /// REQUIRES: what the operation does is run by `on`: by a strand, where several threads run the
    ///           context.
    template <class Executor>
    [[nodiscard]] auto cancelling_on(Executor on) const {
        return keeping(detail::cancelled_operation<Executor>(std::move(on)));
    }
#endif
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
/// converts the arguments: see awaitable. Cancelling the future cancels the operation if the token
/// says so, by cancelling(); its result is dropped in any case.
///
/// GIL:     held where the operation is started.
/// Threads: any.
/// Throws:  boost::python::error_already_set: RuntimeError if Python is ending, or the loop is
///          closed.
inline constexpr use_python_future_t<> use_python_future{};

/// The error with which an operation failed. In Python:
///
///     the error code               is raised as
///     asio::error::eof             EOFError
///     any other                    the OSError that operation_error describes
///
/// It is also what becomes of a boost::system::system_error that a coroutine of co_spawn() throws.
class [[gnu::visibility("default")]] asio_error : public boost::system::system_error {
public:
    using boost::system::system_error::system_error;

    /// Sets it as the Python error. GIL: held.
    void restore() const {
        if (code() == boost::asio::error::eof) {
            PyErr_SetString(PyExc_EOFError, code().message().c_str());
        } else {
            operation_error(code()).restore();
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

    [[nodiscard]] std::stop_token get_stop_token() const { return promise_.get_stop_token(); }

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
    python_promise<typename result_of_handler<Values...>::type> promise_{
        "this operation of Asio's has not completed, and never will: its io_context or thread pool "
        "was destroyed, or its handler was dropped. Cancel what is pending, and let the context "
        "run until it has completed, before it is destroyed"};
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
            this->fail(as_asio_error(std::move(error)));
        } else {
            this->succeed(std::move(values)...);
        }
    }

private:
    static std::exception_ptr as_asio_error(std::exception_ptr error) {
        try {
            std::rethrow_exception(error);
        } catch (boost::system::system_error const& thrown) {
            return std::make_exception_ptr(asio_error(thrown.code()));
        } catch (...) {
            return error;
        }
    }
};

/// A handler that owns what the token keeps, and cancels what it should.
template <class Handler, class... Kept>
class handler_with : public Handler {
public:
    explicit handler_with(std::tuple<Kept...> its) : kept_(std::move(its)) {
        if constexpr ((is_cancelled<Kept> || ...)) {
            when_cancelled_ = std::make_unique<std::stop_callback<canceller>>(
                this->get_stop_token(), canceller{kept_});
        }
    }

#ifdef HANDOFF_ASIO_HAS_CANCELLATION_SLOTS
    // As Asio asks for it.
    using cancellation_slot_type =  // NOLINT(readability-identifier-naming)
        boost::asio::cancellation_slot;
    [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept {
        return slot_of(kept_);
    }
#endif

private:
    struct canceller {
        std::tuple<Kept...> kept;
        void operator()() const noexcept {
            std::apply([](auto const&... each) { (cancel(each), ...); }, kept);
        }
        template <class Each>
        static void cancel(Each const& each) noexcept {
            if constexpr (is_cancelled<Each>) {
                each.cancel();
            }
        }
    };

    std::tuple<Kept...> kept_;
    std::unique_ptr<std::stop_callback<canceller>> when_cancelled_;
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
