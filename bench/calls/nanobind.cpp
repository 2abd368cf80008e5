// nanobind's function.
#include <nanobind/nanobind.h>

NB_MODULE(nanobind, module) {
    module.def("nothing", [] {}, nanobind::call_guard<nanobind::gil_scoped_release>());
}
