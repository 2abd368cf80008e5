// Ours: a function bound by Boost.Python with without_gil().
#include <handoff/boost_python/without_gil.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

BOOST_PYTHON_MODULE(handoff) {
    boost::python::def("nothing", handoff::without_gil(+[] {}));
}
