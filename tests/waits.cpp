// A Boost.Python module that waits, for test_waits.py.
#include <handoff/boost_python.hpp>
#include <handoff/boost_python/interruptible.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <mutex>
#include <stop_token>
#include <string>

namespace {

namespace py = boost::python;
using handoff::interruptible;
using handoff::without_gil;

void for_a_future() {
    std::promise<void> promise;
    std::future<void> never = promise.get_future();
    std::puts("waits");
    handoff::gil_wait(never);
}

void for_a_condition() {
    std::mutex mutex;
    std::condition_variable changed;
    handoff::gil_unique_lock held(mutex);
    std::puts("waits");
    handoff::gil_wait(changed, held, [] { return false; });
}

struct solver {
    int steps = 0;

    /// Until it is asked to stop. Returns what it was told.
    std::string run(std::string const& told, std::stop_token const& stop) {
        std::mutex mutex;
        std::unique_lock held(mutex);
        std::puts("waits");
        std::condition_variable_any().wait(held, stop, [] { return false; });
        ++steps;
        std::puts("stopped");
        return told;
    }
    int& count(int by, std::stop_token const& stop) {
        steps += stop.stop_requested() ? 0 : by;
        return steps;
    }
};

struct model : solver {};

// NOLINTNEXTLINE(performance-unnecessary-value-param): as many users write it
double halved(double value, std::stop_token /*stop*/) {
    return handoff::gil_held() ? -1 : value / 2;
}

}  // namespace

HANDOFF_PYTHON_MODULE(waits) {
    std::setvbuf(stdout, nullptr, _IONBF, 0);
    py::def("for_a_future", &for_a_future);
    py::def("for_a_condition", &for_a_condition);
    py::def("halved", without_gil(&halved, interruptible), py::arg("value"));
    py::def("twice", without_gil([](int value, std::stop_token const&) { return 2 * value; },
                                 interruptible));
    py::class_<model>("Model")
        .def_readonly("steps", &model::steps)
        .def("run", without_gil(&model::run, interruptible), py::arg("told") = "told")
        .def("count", without_gil(&model::count, interruptible),
             py::return_value_policy<py::copy_non_const_reference>());
}
