// Module lock_orders, of pybind11.
#include "lock_orders.hpp"

#include <pybind11/pybind11.h>

PYBIND11_MODULE(lock_orders, made) {
    for (auto const& [name, function] : lock_orders::functions) {
        made.def(name, function);
    }
}
