// Boost.Python's: as they are, module bound_plain, and fast, module bound_fast.
#include "thing.hpp"
#include <handoff/boost_python.hpp>

#include <boost/python.hpp>

namespace py = boost::python;
using bound::derived;
using bound::thing;

namespace {

#ifdef BOUND_IS_FAST
template <class T, class... Options>
using class_of = handoff::fast_class_<T, Options...>;
template <class F>
auto released(F f) {
    return handoff::fast(handoff::without_gil(f));
}
template <class F>
auto function(F f) {
    return handoff::fast(f);
}
#else
template <class T, class... Options>
using class_of = py::class_<T, Options...>;
template <class F>
auto released(F f) {
    return handoff::without_gil(f);
}
template <class F>
auto function(F f) {
    return f;
}
#endif

}  // namespace

BOOST_PYTHON_MODULE(BOUND_MODULE) {
    class_of<thing>("thing")
        .def("poke", &thing::poke)
        .def("put", &thing::put)
        .def("peer", &thing::peer)
        .def("released_poke", released(&thing::poke))
        .def("released_put", released(&thing::put))
        .def("released_peer", released(&thing::peer))
        .def("__getitem__", &thing::at)
        .def("__len__", &thing::size)
        .def("__add__", &thing::plus)
        .add_property("value", &thing::get, &thing::set);
    class_of<derived, py::bases<thing>>("derived");  // NOLINT(bugprone-unused-raii)
    py::def("add", function(&bound::add));
    py::def("released_add", released(&bound::add));
}
