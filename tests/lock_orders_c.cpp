// Module lock_orders, of the plain C API.
#include "lock_orders.hpp"

#include <array>
#include <cstddef>
#include <utility>

namespace {

template <std::size_t Which>
PyObject* with_gil(PyObject* /*module*/, PyObject* /*none*/) {
    lock_orders::functions[Which].second();
    Py_RETURN_NONE;
}

template <std::size_t... Which>
constexpr auto methods_of(std::index_sequence<Which...> /*all*/) noexcept {
    return std::array<PyMethodDef, sizeof...(Which) + 1>{
        {{lock_orders::functions[Which].first, &with_gil<Which>, METH_NOARGS, nullptr}..., {}}};
}

constinit auto methods = methods_of(std::make_index_sequence<lock_orders::functions.size()>());
// NOLINTBEGIN(modernize-use-designated-initializers): as every module writes them
PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "lock_orders",
                          nullptr,
                          0,
                          methods.data(),
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};
// NOLINTEND(modernize-use-designated-initializers)

}  // namespace

PyMODINIT_FUNC PyInit_lock_orders() { return PyModule_Create(&definition); }
