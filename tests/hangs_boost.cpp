// Module hangs, of Boost.Python.
#include "hangs.hpp"

#include <boost/python/def.hpp>
#include <boost/python/module.hpp>

BOOST_PYTHON_MODULE(hangs) {
    using boost::python::def;
    def("join", &hangs::destroy_the_pool);
    def("mutex", &hangs::look_into_cache);
    def("once", &hangs::use_table);
    def("condition", &hangs::wait_for_result);
    def("works", &hangs::simulate);
    def("read", &hangs::read_sensor);
    def("sleep", &hangs::sleep_long);
    def("join_last", &hangs::join_last);
}
