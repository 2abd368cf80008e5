// Module hangs, of the plain C API.
#include "hangs.hpp"

namespace {

template <void (*Hang)()>
PyObject* with_gil(PyObject* /*module*/, PyObject* /*none*/) {
    Hang();
    Py_RETURN_NONE;
}

// NOLINTBEGIN(modernize-use-designated-initializers): as every module writes them
PyMethodDef methods[] = {{"join", &with_gil<&hangs::destroy_the_pool>, METH_NOARGS, nullptr},
                         {"mutex", &with_gil<&hangs::look_into_cache>, METH_NOARGS, nullptr},
                         {"once", &with_gil<&hangs::use_table>, METH_NOARGS, nullptr},
                         {"condition", &with_gil<&hangs::wait_for_result>, METH_NOARGS, nullptr},
                         {"works", &with_gil<&hangs::simulate>, METH_NOARGS, nullptr},
                         {"read", &with_gil<&hangs::read_sensor>, METH_NOARGS, nullptr},
                         {"keep", &with_gil<&hangs::keep_for_ever>, METH_NOARGS, nullptr},
                         {"sleep", &with_gil<&hangs::sleep_long>, METH_NOARGS, nullptr},
                         {"doze", &with_gil<&hangs::doze>, METH_NOARGS, nullptr},
                         {"deadlock", &with_gil<&hangs::lock_opposite>, METH_NOARGS, nullptr},
                         {"relock", &with_gil<&hangs::lock_twice>, METH_NOARGS, nullptr},
                         {"fault", &with_gil<&hangs::write_sensor>, METH_NOARGS, nullptr},
                         {"unguarded", &with_gil<&hangs::call_without_gil>, METH_NOARGS, nullptr},
                         {"fatal", &with_gil<&hangs::fail_without_gil>, METH_NOARGS, nullptr},
                         {"abort", &with_gil<&hangs::give_up>, METH_NOARGS, nullptr},
                         {}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "hangs", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};
// NOLINTEND(modernize-use-designated-initializers)

}  // namespace

PyMODINIT_FUNC PyInit_hangs() { return PyModule_Create(&definition); }
