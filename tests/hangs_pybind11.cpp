// Module hangs, of pybind11.
#include "hangs.hpp"

#include <pybind11/pybind11.h>

PYBIND11_MODULE(hangs, made) {
    for (auto const& [name, function] : hangs::functions) {
        made.def(name, function);
    }
}
