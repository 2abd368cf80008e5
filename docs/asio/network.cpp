#include <handoff/asio/python_executor.hpp>
#include <handoff/asio/use_python_future.hpp>
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <boost/asio.hpp>

#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <unistd.h>
#include <utility>

namespace asio = boost::asio;
namespace py = boost::python;

std::chrono::steady_clock::duration duration_of(double seconds) {
    return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(seconds));
}

/// Lives as long as the process.
class network {
public:
    network() {
        std::thread([this] { io_.run(); }).detach();
    }

    void call_later(double seconds, py::object const& function) {
        auto const timer = timer_of(seconds);
        timer->async_wait(asio::bind_executor(
            python_, [timer, function = handoff::gil_shared(function)](auto error) {
                if (!error) {
                    function.get()();
                }
            }));
    }

    py::object sleep(double seconds) {
        auto const timer = timer_of(seconds);
        return timer->async_wait(handoff::use_python_future.keeping(timer));
    }

    static network& only() {
        static auto* const made = std::make_unique<network>().release();
        return *made;
    }

private:
    std::shared_ptr<asio::steady_timer> timer_of(double seconds) {
        return std::make_shared<asio::steady_timer>(io_, duration_of(seconds));
    }

    asio::io_context io_;
    handoff::python_executor python_{io_};
    asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
};

/// Runs until it is closed or dropped. Its thread owns all that it uses.
class engine {
public:
    engine() {
        std::promise<void> ends;
        ended_ = ends.get_future().share();
        std::thread([own = own_, ends = std::move(ends)]() mutable {
            own->io.run();
            own.reset();
            ends.set_value();
        }).detach();
    }

    ~engine() {  // Python calls it anywhere, so it waits for nothing
        if (made_in_ == getpid()) {  // the child of a fork() does not have the thread
            own_->io.stop();
        }
    }

    py::object sleep(double seconds) {
        auto const timer = std::make_shared<asio::steady_timer>(own_->io);
        timer->expires_after(duration_of(seconds));
        return timer->async_wait(handoff::use_python_future.cancelling(timer));
    }

    /// Returns when all that is pending has completed. GIL: not held.
    void close() {
        if (made_in_ == getpid()) {
            asio::post(own_->io, [&work = own_->work] { work.reset(); });
            ended_.wait();
        }
    }

private:
    struct context {
        asio::io_context io;
        asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
    };

    std::shared_ptr<context> own_ = std::make_shared<context>();
    std::shared_future<void> ended_;
    pid_t made_in_ = getpid();
};

HANDOFF_PYTHON_MODULE(network) {
    py::def(
        "call_later", +[](double seconds, py::object function) {
            network::only().call_later(seconds, function);
        });
    py::def("sleep", +[](double seconds) { return network::only().sleep(seconds); });
    py::class_<engine, boost::noncopyable>("Engine")
        .def("sleep", &engine::sleep)
        .def("close", handoff::without_gil(&engine::close));
}
