// foo_user: somebody else's Boost.Python module, which takes and returns a Foo.
#include <handoff/boost_python/shared_ptr.hpp>
#include <handoff/foo.hpp>
#include <handoff/gil/release.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

namespace py = boost::python;

namespace {

double interval_of(handoff::foo const& taken) { return taken.interval().count(); }

std::shared_ptr<handoff::foo> same(std::shared_ptr<handoff::foo> const& taken) { return taken; }

std::shared_ptr<handoff::foo> hourly() {
    return std::make_shared<handoff::foo>(std::chrono::hours(1));
}

std::shared_ptr<handoff::foo>& kept() {
    static std::shared_ptr<handoff::foo> only;
    return only;
}

/// Makes a Foo that C++ owns, too, until let_go().
std::shared_ptr<handoff::foo> keep(double interval, py::object const& on_message) {
    kept() = std::make_shared<handoff::foo>(std::chrono::duration<double>(interval), on_message);
    return kept();
}

void let_go() { kept().reset(); }

void keep_this(std::shared_ptr<handoff::foo> const& taken) { kept() = taken; }

void stop_on_this_thread(handoff::foo& taken) { taken.stop(); }

void stop_on_a_native_thread(handoff::foo& taken) {
    handoff::gil_release while_joining;
    std::thread([&taken] { taken.stop(); }).join();
}

/// The last copy is dropped by a thread that knows nothing of Python.
void let_go_on_a_native_thread() {
    handoff::gil_release while_joining;
    std::thread([dropped = std::move(kept())] {}).join();
}

}  // namespace

BOOST_PYTHON_MODULE(foo_user) {
    py::import("Foo");  // its converters
    handoff::drop_shared_ptr_anywhere<handoff::foo>();  // as Foo has done; twice is once
    py::def("interval_of", &interval_of);
    py::def("same", &same);
    py::def("hourly", &hourly);
    py::def("keep", &keep);
    py::def("let_go", &let_go);
    py::def("keep_this", &keep_this);
    py::def("stop_on_this_thread", &stop_on_this_thread);
    py::def("stop_on_a_native_thread", &stop_on_a_native_thread);
    py::def("let_go_on_a_native_thread", &let_go_on_a_native_thread);
}
