// Benchmarks of a call from Python of a bound C++ function that does nothing, without the GIL.
#include "../process.hpp"

#include <boost/python.hpp>

extern "C" {
PyObject* PyInit_raw();
PyObject* PyInit_handoff();
PyObject* PyInit_pybind11();
PyObject* PyInit_nanobind();
}

namespace {

/// Measures the function `nothing` of a module.
void call(benchmark::State& times, char const* module) {
    bench::python().invoke([&] {
        boost::python::object const nothing = boost::python::import(module).attr("nothing");
        for (auto _ : times) {
            Py_XDECREF(PyObject_CallNoArgs(nothing.ptr()));
        }
    });
}

BENCHMARK_CAPTURE(call, raw, "raw")->Name("released_call/raw");
BENCHMARK_CAPTURE(call, handoff, "handoff")->Name("released_call/handoff");
BENCHMARK_CAPTURE(call, pybind11, "pybind11")->Name("released_call/pybind11");
BENCHMARK_CAPTURE(call, nanobind, "nanobind")->Name("released_call/nanobind");

}  // namespace

int main(int argc, char** argv) {
    bench::python()
        .add_module("raw", &PyInit_raw)
        .add_module("handoff", &PyInit_handoff)
        .add_module("pybind11", &PyInit_pybind11)
        .add_module("nanobind", &PyInit_nanobind);
    return bench::run(argc, argv);
}
