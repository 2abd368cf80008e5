#include <handoff/asio/python_executor.hpp>
#include <handoff/asio/use_python_future.hpp>
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <boost/asio.hpp>

#include <chrono>
#include <memory>
#include <thread>

namespace asio = boost::asio;
namespace py = boost::python;

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
        using duration = std::chrono::steady_clock::duration;
        auto const wanted = std::chrono::duration<double>(seconds);
        return std::make_shared<asio::steady_timer>(io_,
                                                    std::chrono::duration_cast<duration>(wanted));
    }

    asio::io_context io_;
    handoff::python_executor python_{io_};
    asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
};

HANDOFF_PYTHON_MODULE(network) {
    py::def(
        "call_later", +[](double seconds, py::object function) {
            network::only().call_later(seconds, function);
        });
    py::def("sleep", +[](double seconds) { return network::only().sleep(seconds); });
}
