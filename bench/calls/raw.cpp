// The limit: a function of CPython's own kind.
#include <handoff/gil/python.hpp>

namespace {

PyObject* nothing(PyObject* /*module*/, PyObject* /*none*/) {
    PyThreadState* const own = PyEval_SaveThread();
    PyEval_RestoreThread(own);
    Py_RETURN_NONE;
}

}  // namespace

extern "C" PyObject* PyInit_raw() {
    static PyMethodDef functions[] = {
        {.ml_name = "nothing", .ml_meth = &nothing, .ml_flags = METH_NOARGS, .ml_doc = nullptr},
        {}};
    static PyModuleDef module{.m_base = PyModuleDef_HEAD_INIT,
                              .m_name = "raw",
                              .m_doc = nullptr,
                              .m_size = -1,
                              .m_methods = functions,
                              .m_slots = nullptr,
                              .m_traverse = nullptr,
                              .m_clear = nullptr,
                              .m_free = nullptr};
    return PyModule_Create(&module);
}
