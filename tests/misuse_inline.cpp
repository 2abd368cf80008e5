// Module misuse_inline: a reference is counted without the GIL, and nothing is called for it.
#include <Python.h>

#include <thread>

namespace {

PyObject* count(PyObject* /*module*/, PyObject* object) {
    std::thread([object] {
        Py_INCREF(object);
        Py_DECREF(object);
    }).join();
    Py_RETURN_NONE;
}

// As every module writes them.
// NOLINTBEGIN(modernize-use-designated-initializers)
PyMethodDef methods[] = {{"count", &count, METH_O, nullptr}, {}};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, HANDOFF_MODULE, nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};
// NOLINTEND(modernize-use-designated-initializers)

}  // namespace

PyMODINIT_FUNC HANDOFF_INIT() { return PyModule_Create(&definition); }
