// nanobind's std::function, trampoline and shared_ptr.
#include "measured.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/function.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/trampoline.h>

#include <functional>
#include <memory>

namespace {

namespace nb = nanobind;
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
    NB_TRAMPOLINE(bench::cost);
    double eval(double x) override { NB_OVERRIDE_PURE(eval, x); }
};

/// An outer guard keeps the thread's state, with the GIL released within it.
struct outer_guard {
    nb::gil_scoped_acquire keeps_the_state;
    nb::gil_scoped_release meanwhile;
};

struct library {
    static constexpr char const* name = "nanobind";
    static constexpr int copies = 1;  // each waits for 5 ms, twice
    using function = std::function<double(double)>;
    using kept_state = outer_guard;
    using frame = bench::frame;

    static function function_of(PyObject* f) { return nb::cast<function>(nb::handle(f)); }
    static bench::cost* cost_of(PyObject* made) { return nb::cast<bench::cost*>(nb::handle(made)); }
    static std::shared_ptr<frame> pointer_of(PyObject* made) {
        return nb::cast<std::shared_ptr<frame>>(nb::handle(made));
    }
};

BENCHMARK_TEMPLATE(call, library, held)->Name("call_held/nanobind");
BENCHMARK_TEMPLATE(call, library, kept)->Name("call_kept/nanobind");
BENCHMARK_TEMPLATE(call, library, plain)->Name("call_plain/nanobind");
BENCHMARK_TEMPLATE(copy_drop, library, held)->Name("copy_drop_held/nanobind");
BENCHMARK_TEMPLATE(copy_drop, library, kept)->Name("copy_drop_kept/nanobind");
BENCHMARK_TEMPLATE(copy_drop, library, plain)->Name("copy_drop_plain/nanobind");
BENCHMARK_TEMPLATE(copy_drop_contended, library)
    ->Name("copy_drop_contended/nanobind")
    ->Iterations(1)
    ->UseManualTime();
BENCHMARK_TEMPLATE(last_drop, library, held)
    ->Name("last_drop_held/nanobind")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(last_drop, library, kept)
    ->Name("last_drop_kept/nanobind")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(override_call, library, held)->Name("override_held/nanobind");
BENCHMARK_TEMPLATE(override_call, library, kept)->Name("override_kept/nanobind");
BENCHMARK_TEMPLATE(override_call, library, plain)->Name("override_plain/nanobind");
BENCHMARK_TEMPLATE(pointer_drop, library, held)
    ->Name("pointer_drop_held/nanobind")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(pointer_drop, library, kept)
    ->Name("pointer_drop_kept/nanobind")
    ->Iterations(5)
    ->UseManualTime();

}  // namespace

// NOLINTNEXTLINE(performance-unnecessary-value-param): as nanobind declares it
NB_MODULE(nanobind, module) {
    nb::class_<bench::cost, cost_from_python>(module, "Cost")
        .def(nb::init<>())
        .def("eval", &bench::cost::eval);
    nb::class_<bench::frame>(module, "Frame").def(nb::init<>());
}
