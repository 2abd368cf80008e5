// Module hangs, of pybind11.
#include "hangs.hpp"

#include <pybind11/pybind11.h>

PYBIND11_MODULE(hangs, made) {
    made.def("join", &hangs::destroy_the_pool);
    made.def("mutex", &hangs::look_into_cache);
    made.def("once", &hangs::use_table);
    made.def("condition", &hangs::wait_for_result);
    made.def("works", &hangs::simulate);
    made.def("read", &hangs::read_sensor);
    made.def("sleep", &hangs::sleep_long);
    made.def("join_last", &hangs::join_last);
}
