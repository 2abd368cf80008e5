// counter: a module for any Python, whose thread appends to a list.
#include <handoff/gil.hpp>
#include <handoff/boost_python/without_gil.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace py = boost::python;
using namespace std::chrono_literals;

class counter {
public:
    explicit counter(py::list const& numbers) : numbers_(numbers) {}

    ~counter() {
        handoff::gil_release while_joining;  // was: Py_BEGIN_ALLOW_THREADS, if it was thought of
        stop();
    }

    void start() {
        if (!thread_.joinable()) {
            thread_ = std::jthread([this](std::stop_token const& stop) { count(stop); });
        }
    }

    void stop() {
        thread_.request_stop();
        if (thread_.joinable()) {
            thread_.join();
        }
    }

private:
    void count(std::stop_token const& stop) {
        handoff::gil_label const label("counter");  // for `python3 -m giltrace`
        while (!stop.stop_requested()) {
            {
                // was: PyGILState_STATE const found = PyGILState_Ensure();
                handoff::gil_try_acquire const to_append;
                if (!to_append) {
                    return;  // Python ends, and PyGILState_Ensure() would never have returned
                }
                numbers_.append(py::len(numbers_));
                // was: PyGILState_Release(found); and not, where append() had thrown
            }
            std::this_thread::sleep_for(1ms);
        }
    }

    py::list numbers_;
    std::jthread thread_;
};

BOOST_PYTHON_MODULE(counter) {
    if (!handoff::gil_gate::open()) {  // from now on Python's end is told to who comes
        throw py::error_already_set();
    }
    py::class_<counter, boost::noncopyable>("Counter", py::init<py::list>())
        .def("start", &counter::start)
        .def("stop", handoff::without_gil(&counter::stop));
}
