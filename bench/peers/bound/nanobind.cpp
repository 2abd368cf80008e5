// nanobind's, module bound_nanobind.
#include "thing.hpp"

#include <nanobind/nanobind.h>

namespace nb = nanobind;
using bound::derived;
using bound::thing;

NB_MODULE(bound_nanobind, module) {
    using released = nb::call_guard<nb::gil_scoped_release>;
    nb::class_<thing>(module, "thing")
        .def(nb::init<>())
        .def("poke", &thing::poke)
        .def("put", &thing::put)
        .def("peer", &thing::peer)
        .def("released_poke", &thing::poke, released())
        .def("released_put", &thing::put, released())
        .def("released_peer", &thing::peer, released())
        .def("__getitem__", &thing::at)
        .def("__len__", &thing::size)
        .def("__add__", &thing::plus)
        .def_prop_rw("value", &thing::get, &thing::set);
    nb::class_<derived, thing>(module, "derived").def(nb::init<>());
    module.def("add", &bound::add);
    module.def("released_add", &bound::add, released());
}
