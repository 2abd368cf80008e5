// A static in a function, whose initialiser imports a module, at its first use by two threads.
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

namespace {

namespace py = boost::python;

py::object fraction(int n) {
    static constinit handoff::gil_once<py::object> type;
    return type.get([] { return py::import("slow_module").attr("Thing"); })(n);
}

}  // namespace

HANDOFF_PYTHON_MODULE(static_local) { py::def("fraction", &fraction); }
