// Module hangs, of nanobind.
#include "hangs.hpp"

#include <nanobind/nanobind.h>

NB_MODULE(hangs, made) {
    for (auto const& [name, function] : hangs::functions) {
        made.def(name, function);
    }
}
