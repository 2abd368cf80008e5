// faulty_host: the host with a module `faults`, through which a script makes things fail.
#include "faults.hpp"
#include <handoff/foo.hpp>
#include <handoff/gil/raised.hpp>
#include <handoff/host.hpp>

#include <boost/python.hpp>

#include <string>

namespace py = boost::python;

namespace {

/// Calls the function while `count` allocations fail from the first-th on: those of Python or of
/// C++ (`whose`), on this thread or on all others (`where`).
/// Returns: (its result or what it raised, whether an allocation failed)
py::tuple call_short_of_memory(py::object const& function, std::string const& whose,
                               std::string const& where, int first, int count) {
    memory const chosen = whose == "python" ? memory::of_python : memory::of_cpp;
    on const threads = where == "this" ? on::this_thread : on::other_threads;
    PyObject* outcome = nullptr;
    bool happened = false;
    {
        failing_allocations const shortage(chosen, threads, first, count);
        outcome = PyObject_CallNoArgs(function.ptr());
        happened = shortage.happened();
    }
    if (outcome == nullptr) {
        outcome = handoff::take_raised_exception();
    }
    return py::make_tuple(py::object(py::handle<>(outcome)), happened);
}

}  // namespace

BOOST_PYTHON_MODULE(faults) {
    failing_allocations::watch_python();
    py::def("call_short_of_memory", &call_short_of_memory);
    py::def("refuse_threads", &refuse_threads);
    py::def("let_system_clock_jump", &let_system_clock_jump);
}

int main(int argc, char* argv[]) {
    handoff::host python;
    python.add_module("Foo", &PyInit_Foo);
    python.add_module("faults", &PyInit_faults);
    return python.run(argc, argv);
}
