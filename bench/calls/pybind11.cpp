// pybind11's function.
#include <pybind11/pybind11.h>

PYBIND11_MODULE(pybind11, module) {
    module.def("nothing", [] {}, pybind11::call_guard<pybind11::gil_scoped_release>());
}
