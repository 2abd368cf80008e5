// Operations of Asio's whose outcome Python awaits, for test_asio.py.
#include <handoff/asio/python_executor.hpp>
#include <handoff/asio/use_python_future.hpp>
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <boost/asio.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace py = boost::python;
using boost::system::error_code;
using handoff::use_python_future;
using handoff::use_python_future_t;
using stream = asio::local::stream_protocol::socket;

struct unconvertible {};

template <class T>
concept can_be_kept = requires(T kept) { use_python_future.keeping(std::move(kept)); };
static_assert(can_be_kept<std::shared_ptr<int>>);
static_assert(can_be_kept<handoff::gil_owned<py::object>>);
static_assert(can_be_kept<handoff::gil_shared<py::object>>);
static_assert(!can_be_kept<py::object>);
static_assert(!can_be_kept<std::tuple<int, py::list>>);

/// An operation that completes with these arguments, in the thread that runs the context.
template <class... Given>
py::object completes_with(asio::io_context& io, Given... given) {
    return asio::async_initiate<use_python_future_t<> const, void(Given...)>(
        [&io](auto handler, auto... its) {
            asio::post(
                io, [handler = std::move(handler), its = std::tuple(std::move(its)...)]() mutable {
                    std::apply(handler, std::move(its));
                });
        },
        use_python_future, std::move(given)...);
}

/// A context that one native thread runs, until it is closed.
class engine {
public:
    engine() : own_(std::make_unique<context>()), thread_([&io = own_->io] { io.run(); }) {}

    ~engine() {
        if (own_ != nullptr) {
            close();
        }
    }
    engine(engine const&) = delete;
    engine& operator=(engine const&) = delete;

    /// What is pending is dropped.
    /// GIL: not held.
    void close() {
        own_->io.stop();
        thread_.join();
        own_ = nullptr;
    }

    /// Returns when nothing is pending.
    /// GIL: not held.
    void finish() {
        own_->work.reset();
        thread_.join();
        own_ = nullptr;
    }

    py::object none() { return completes_with(io()); }
    py::object one() { return completes_with(io(), 7); }
    py::object one_and_no_error() { return completes_with(io(), error_code(), 7); }
    py::object several() { return completes_with(io(), error_code(), 7, std::string("seven")); }
    py::object several_without_an_error() { return completes_with(io(), 7, 0.5); }
    py::object several_of_which_one_cannot_be_converted() {
        return completes_with(io(), error_code(), 7, unconvertible());
    }
    py::object several_that_fail(int number) {
        return completes_with(io(), error_code(number, boost::system::generic_category()), 7,
                              std::string("seven"));
    }
    py::object host_not_found() {
        return completes_with(io(), error_code(asio::error::host_not_found));
    }
    py::object no_exception() { return completes_with(io(), std::exception_ptr(), 7); }
    py::object invalid() {
        return completes_with(
            io(), std::make_exception_ptr(std::invalid_argument("no such frequency: -1 Hz")));
    }
    py::object failed_with(int number) {
        boost::system::system_error const thrown(
            error_code(number, boost::system::system_category()), "connect");
        return completes_with(io(), std::make_exception_ptr(thrown), 7);
    }

    py::object read_the_end() {
        auto const [one, other] = pair();
        other->close();
        return read(one, use_python_future.keeping(one));
    }

    /// For ever, unless it is cancelled.
    py::object sleep() {
        auto const its = timer();
        return its->async_wait(use_python_future.keeping(its));
    }
    py::object sleep_until_cancelled() {
        auto const its = timer();
        return its->async_wait(use_python_future.cancelling(its));
    }
    py::object read_until_cancelled() {
        auto const [one, other] = pair();
        return read(one, use_python_future.keeping(other).cancelling(one));
    }
    /// The operations that have ended.
    int ended() const { return *ended_; }

#ifdef BOOST_ASIO_HAS_CO_AWAIT
    py::object connect_in_coroutine(int port) {
        return asio::co_spawn(io(), connect(static_cast<unsigned short>(port)), use_python_future);
    }
    py::object add_in_coroutine(int to) {
        return asio::co_spawn(io(), add_one(to), use_python_future);
    }
#ifdef HANDOFF_ASIO_HAS_CANCELLATION_SLOTS
    py::object sleep_in_coroutine_until_cancelled() {
        return asio::co_spawn(io(), sleep_in(ended_),
                              use_python_future.cancelling_on(io().get_executor()));
    }
#endif
#endif

private:
    struct context {
        asio::io_context io;
        asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
    };

    asio::io_context& io() { return own_->io; }

    /// Counts its end, with that of the operation that keeps it.
    std::shared_ptr<asio::steady_timer> timer() {
        return {new asio::steady_timer(io(), std::chrono::hours(24)),
                [ended = ended_](asio::steady_timer* its) {
                    delete its;
                    ++*ended;
                }};
    }

    std::pair<std::shared_ptr<stream>, std::shared_ptr<stream>> pair() {
        auto const counted = [ended = ended_](stream* its) {
            delete its;
            ++*ended;
        };
        std::shared_ptr<stream> one(new stream(io()), counted);
        std::shared_ptr<stream> other(new stream(io()), counted);
        asio::local::connect_pair(*one, *other);
        return {one, other};
    }

    template <class Token>
    static py::object read(std::shared_ptr<stream> const& from, Token const& token) {
        auto const data = std::make_shared<std::array<char, 8>>();
        return from->async_read_some(asio::buffer(*data), token.keeping(data));
    }

#ifdef BOOST_ASIO_HAS_CO_AWAIT
    static asio::awaitable<void> connect(unsigned short port) {
        asio::ip::tcp::socket socket(co_await asio::this_coro::executor);
        co_await socket.async_connect(
            asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port), asio::use_awaitable);
    }
#ifdef HANDOFF_ASIO_HAS_CANCELLATION_SLOTS
    static asio::awaitable<void> sleep_in(std::shared_ptr<std::atomic<int>> ended) {
        asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(24));
        try {
            co_await timer.async_wait(asio::use_awaitable);
        } catch (boost::system::system_error const&) {
            ++*ended;
            throw;
        }
    }
#endif
    static asio::awaitable<int> add_one(int to) {
        asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(1));
        co_await timer.async_wait(asio::use_awaitable);
        co_return to + 1;
    }
#endif

    std::shared_ptr<std::atomic<int>> ended_ = std::make_shared<std::atomic<int>>(0);
    std::unique_ptr<context> own_;
    std::jthread thread_;
};

}  // namespace

HANDOFF_PYTHON_MODULE(operations) {
    py::class_<engine, handoff::released_ptr<engine>, boost::noncopyable> its("Engine");
    its.def("close", handoff::without_gil(&engine::close))
        .def("finish", handoff::without_gil(&engine::finish))
        .def("none", &engine::none)
        .def("one", &engine::one)
        .def("one_and_no_error", &engine::one_and_no_error)
        .def("several", &engine::several)
        .def("several_without_an_error", &engine::several_without_an_error)
        .def("several_of_which_one_cannot_be_converted",
             &engine::several_of_which_one_cannot_be_converted)
        .def("several_that_fail", &engine::several_that_fail)
        .def("host_not_found", &engine::host_not_found)
        .def("no_exception", &engine::no_exception)
        .def("invalid", &engine::invalid)
        .def("failed_with", &engine::failed_with)
        .def("read_the_end", &engine::read_the_end)
        .def("sleep", &engine::sleep)
        .def("sleep_until_cancelled", &engine::sleep_until_cancelled)
        .def("read_until_cancelled", &engine::read_until_cancelled)
        .def("ended", &engine::ended);
#ifdef BOOST_ASIO_HAS_CO_AWAIT
    its.def("connect_in_coroutine", &engine::connect_in_coroutine)
        .def("add_in_coroutine", &engine::add_in_coroutine);
#ifdef HANDOFF_ASIO_HAS_CANCELLATION_SLOTS
    its.def("sleep_in_coroutine_until_cancelled", &engine::sleep_in_coroutine_until_cancelled);
#endif
#endif
}
