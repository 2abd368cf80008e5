// The limit of a call: CPython's own, with the guard of the C API.
#include "../guards/raw_state.hpp"
#include "measured.hpp"

namespace {

using bench::call;
using bench::held;
using bench::kept;
using bench::plain;

/// GIL: any; the same on return.
double called(PyObject* f, double x) {
    PyGILState_STATE const found = PyGILState_Ensure();
    PyObject* const argument = PyFloat_FromDouble(x);
    PyObject* const result = PyObject_CallOneArg(f, argument);
    double const value = PyFloat_AsDouble(result);
    Py_DECREF(result);
    Py_DECREF(argument);
    PyGILState_Release(found);
    return value;
}

struct library {
    static constexpr char const* name = "raw";
    using kept_state = raw_state;
    static auto function_of(PyObject* f) {
        return [f](double x) { return called(f, x); };
    }
};

BENCHMARK_TEMPLATE(call, library, held)->Name("call_held/raw");
BENCHMARK_TEMPLATE(call, library, kept)->Name("call_kept/raw");
BENCHMARK_TEMPLATE(call, library, plain)->Name("call_plain/raw");

}  // namespace
