// pybind11's, module bound_pybind11.
#include "thing.hpp"

#include <pybind11/pybind11.h>

namespace py = pybind11;
using bound::derived;
using bound::thing;

PYBIND11_MODULE(bound_pybind11, module) {
    using released = py::call_guard<py::gil_scoped_release>;
    py::class_<thing>(module, "thing")
        .def(py::init<>())
        .def("poke", &thing::poke)
        .def("put", &thing::put)
        .def("peer", &thing::peer)
        .def("released_poke", &thing::poke, released())
        .def("released_put", &thing::put, released())
        .def("released_peer", &thing::peer, released())
        .def("__getitem__", &thing::at)
        .def("__len__", &thing::size)
        .def("__add__", &thing::plus)
        .def_property("value", &thing::get, &thing::set);
    py::class_<derived, thing>(module, "derived").def(py::init<>());
    module.def("add", &bound::add);
    module.def("released_add", &bound::add, released());
}
