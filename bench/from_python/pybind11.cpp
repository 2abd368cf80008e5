// pybind11's std::function, trampoline and shared_ptr.
#include "measured.hpp"

#include <pybind11/functional.h>
#include <pybind11/pybind11.h>

#include <functional>
#include <memory>

namespace {

namespace py = pybind11;
using bench::call;
using bench::copy_drop;
using bench::copy_drop_contended;
using bench::held;
using bench::kept;
using bench::last_drop;
using bench::override_call;
using bench::plain;
using bench::pointer_drop;

struct cost_from_python : bench::cost {
    double eval(double x) override { PYBIND11_OVERRIDE_PURE(double, bench::cost, eval, x); }
};

/// An outer guard keeps the thread's state, with the GIL released within it.
struct outer_guard {
    py::gil_scoped_acquire keeps_the_state;
    py::gil_scoped_release meanwhile;
};

struct library {
    static constexpr char const* name = "pybind11";
    static constexpr int copies = 1;  // each waits for 5 ms, twice
    using function = std::function<double(double)>;
    using kept_state = outer_guard;
    using frame = bench::frame;

    static function function_of(PyObject* f) { return py::cast<function>(py::handle(f)); }
    static bench::cost* cost_of(PyObject* made) { return py::cast<bench::cost*>(py::handle(made)); }
    static std::shared_ptr<frame> pointer_of(PyObject* made) {
        return py::cast<std::shared_ptr<frame>>(py::handle(made));
    }
};

BENCHMARK_TEMPLATE(call, library, held)->Name("call_held/pybind11");
BENCHMARK_TEMPLATE(call, library, kept)->Name("call_kept/pybind11");
BENCHMARK_TEMPLATE(call, library, plain)->Name("call_plain/pybind11");
BENCHMARK_TEMPLATE(copy_drop, library, held)->Name("copy_drop_held/pybind11");
BENCHMARK_TEMPLATE(copy_drop, library, kept)->Name("copy_drop_kept/pybind11");
BENCHMARK_TEMPLATE(copy_drop, library, plain)->Name("copy_drop_plain/pybind11");
BENCHMARK_TEMPLATE(copy_drop_contended, library)
    ->Name("copy_drop_contended/pybind11")
    ->Iterations(1)
    ->UseManualTime();
BENCHMARK_TEMPLATE(last_drop, library, held)
    ->Name("last_drop_held/pybind11")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(last_drop, library, kept)
    ->Name("last_drop_kept/pybind11")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(override_call, library, held)->Name("override_held/pybind11");
BENCHMARK_TEMPLATE(override_call, library, kept)->Name("override_kept/pybind11");
BENCHMARK_TEMPLATE(override_call, library, plain)->Name("override_plain/pybind11");
BENCHMARK_TEMPLATE(pointer_drop, library, held)
    ->Name("pointer_drop_held/pybind11")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(pointer_drop, library, kept)
    ->Name("pointer_drop_kept/pybind11")
    ->Iterations(5)
    ->UseManualTime();

}  // namespace

PYBIND11_MODULE(pybind11, module) {
    py::class_<bench::cost, cost_from_python>(module, "Cost")
        .def(py::init<>())
        .def("eval", &bench::cost::eval);
    py::class_<bench::frame, std::shared_ptr<bench::frame>>(module, "Frame").def(py::init<>());
}
