// Benchmarks of what Python passes to C++: functions, overrides, references and shared_ptrs.
#include "../process.hpp"
#include "objects.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <future>
#include <stdexcept>

extern "C" {
PyObject* PyInit_boost_python();
PyObject* PyInit_handoff();
PyObject* PyInit_pybind11();
PyObject* PyInit_nanobind();
}

namespace bench {

namespace {

constexpr char const* script = R"(
import boost_python, handoff, pybind11, nanobind

def same(x):
    return x

for module in boost_python, handoff, pybind11, nanobind:
    globals()[f"{module.__name__}_frame"] = module.Frame()

for module in handoff, pybind11, nanobind:
    class cost(module.Cost):
        def eval(self, x):
            return x
    globals()[f"{module.__name__}_cost"] = cost()

def busy(goes_on):
    while goes_on():
        pass
)";

std::atomic<bool> goes_on = false;
std::atomic<unsigned long> rounds = 0;  // of Python's loop

}  // namespace

PyObject* passed(std::string const& name) {
    PyObject* const globals = PyModule_GetDict(PyImport_AddModule("__main__"));
    PyObject* const found = PyDict_GetItemString(globals, name.c_str());
    if (found == nullptr) {
        throw std::logic_error("the script makes no " + name + ": add it there");
    }
    return found;
}

busy_python::busy_python() {
    namespace py = boost::python;
    goes_on = true;
    std::promise<void> begun;
    thread_ = std::thread([&begun] {
        handoff::gil_acquire const gil;
        py::object const busy{py::handle<>(py::borrowed(passed("busy")))};
        py::object const asked = py::make_function(+[] {
            ++rounds;
            return goes_on.load();
        });
        begun.set_value();
        busy(asked);
    });
    begun.get_future().wait();
}

void busy_python::await_its_turn() const {
    auto const before = rounds.load();
    while (rounds == before) {
        std::this_thread::yield();
    }
}

busy_python::~busy_python() {
    goes_on = false;
    thread_.join();
}

}  // namespace bench

int main(int argc, char** argv) {
    bench::python()
        .add_module("boost_python", &PyInit_boost_python)
        .add_module("handoff", &PyInit_handoff)
        .add_module("pybind11", &PyInit_pybind11)
        .add_module("nanobind", &PyInit_nanobind);
    return bench::run(argc, argv, [] { bench::python().run_string(bench::script); });
}
