// Module hangs, of Boost.Python.
#include "hangs.hpp"

#include <boost/python/def.hpp>
#include <boost/python/module.hpp>

BOOST_PYTHON_MODULE(hangs) {
    for (auto const& [name, function] : hangs::functions) {
        boost::python::def(name, function);
    }
}
