// Module lock_orders, of nanobind.
#include "lock_orders.hpp"

#include <nanobind/nanobind.h>

NB_MODULE(lock_orders, made) {
    for (auto const& [name, function] : lock_orders::functions) {
        made.def(name, function);
    }
}
