// Module lock_orders, of the plain C API.
#include "lock_orders.hpp"

#include <cstring>

namespace {

/// run(name): does what is known by that name.
PyObject* run(PyObject* /*module*/, PyObject* name) {
    char const* const wanted = PyUnicode_AsUTF8(name);
    for (auto const& [known, function] : lock_orders::functions) {
        if (wanted != nullptr && std::strcmp(known, wanted) == 0) {
            function();
            Py_RETURN_NONE;
        }
    }
    return PyErr_Format(PyExc_LookupError, "there is no %R", name);
}

PyObject* names(PyObject* /*module*/, PyObject* /*none*/) {
    PyObject* const all = PyList_New(0);
    for (auto const& each : lock_orders::functions) {
        PyObject* const name = PyUnicode_FromString(each.first);
        PyList_Append(all, name);
        Py_DECREF(name);
    }
    return all;
}

// NOLINTBEGIN(modernize-use-designated-initializers): as every module writes them
PyMethodDef methods[] = {
    {"run", &run, METH_O, nullptr}, {"names", &names, METH_NOARGS, nullptr}, {}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "lock_orders", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};
// NOLINTEND(modernize-use-designated-initializers)

}  // namespace

PyMODINIT_FUNC PyInit_lock_orders() { return PyModule_Create(&definition); }
