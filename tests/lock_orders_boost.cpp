// Module lock_orders, of Boost.Python.
#include "lock_orders.hpp"

#include <boost/python/def.hpp>
#include <boost/python/module.hpp>

BOOST_PYTHON_MODULE(lock_orders) {
    for (auto const& [name, function] : lock_orders::functions) {
        boost::python::def(name, function);
    }
}
