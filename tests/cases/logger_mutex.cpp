// A logger that calls its sinks with its mutex locked, from native threads and from Python's.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

namespace {

namespace py = boost::python;

std::mutex sinks_lock;
std::function<void(std::string const&)> sink;
void log_line(std::string const& line) {
    handoff::gil_lock hold(sinks_lock);
    if (sink) {
        sink(line);
    }
}
void set_sink(std::function<void(std::string const&)> f) {
    handoff::gil_lock hold(sinks_lock);
    std::swap(sink, f);
}
std::jthread worker;
void start() {
    worker = std::jthread([](std::stop_token const& stop) {
        while (!stop.stop_requested()) {
            log_line("native");
        }
    });
}
void stop() { worker = std::jthread(); }

}  // namespace

HANDOFF_PYTHON_MODULE(logger_mutex) {
    handoff::register_callback<void(std::string const&)>();
    py::def("write", &log_line);
    py::def("set_sink", &set_sink);
    py::def("start", &start);
    py::def("stop", handoff::without_gil(&stop));
}
