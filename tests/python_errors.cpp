// python_errors: an extension module without Boost, that catches Python's errors as C++ ones, and
// owns a reference while it runs Python code.
#include <handoff/python_error.hpp>

#include <cstdio>
#include <exception>
#include <string>

namespace {

using handoff::python_error;

PyObject* as_str(std::string const& text) {
    return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

/// (type, message, traceback, exit code or None, what()), as a module's own code would read it.
PyObject* described(python_error const& error) {
    PyObject* const code =
        error.exit_code() ? PyLong_FromLong(*error.exit_code()) : Py_NewRef(Py_None);
    return Py_BuildValue("(NNNNs)", as_str(error.type()), as_str(error.message()),
                         as_str(error.traceback()), code, error.what());
}

/// caught(function): what function() raises; None if nothing.
PyObject* caught(PyObject*, PyObject* function) {
    try {
        PyObject* const result = PyObject_CallNoArgs(function);
        if (result == nullptr) {
            throw python_error::fetch();
        }
        Py_DECREF(result);
    } catch (python_error const& error) {
        if (PyErr_Occurred() != nullptr) {
            return nullptr;  // fetch() was to clear it: SystemError
        }
        return described(error);
    }
    return Py_NewRef(Py_None);
}

/// nothing_set(): what fetch() makes of no error.
PyObject* nothing_set(PyObject*, PyObject*) { return described(python_error::fetch()); }

/// Says so where it is dropped by a thread that does not hold the GIL.
class witness {
public:
    explicit witness(PyObject* owned) noexcept : owned_(Py_NewRef(owned)) {}
    ~witness() {
        if (PyGILState_Check() != 0) {
            Py_DECREF(owned_);
        } else {
            std::fputs("a reference was dropped without the GIL\n", stderr);
        }
    }
    witness(witness const&) = delete;
    witness& operator=(witness const&) = delete;

private:
    PyObject* owned_;
};

/// owning(function): what function() returns, called while a C++ object owns it.
PyObject* owning(PyObject*, PyObject* function) {
    witness const its(function);
    return PyObject_CallNoArgs(function);
}

PyMethodDef methods[] = {
    {.ml_name = "caught", .ml_meth = &caught, .ml_flags = METH_O, .ml_doc = nullptr},
    {.ml_name = "owning", .ml_meth = &owning, .ml_flags = METH_O, .ml_doc = nullptr},
    {.ml_name = "nothing_set", .ml_meth = &nothing_set, .ml_flags = METH_NOARGS, .ml_doc = nullptr},
    {.ml_name = nullptr, .ml_meth = nullptr, .ml_flags = 0, .ml_doc = nullptr}};

PyModuleDef definition = {.m_base = PyModuleDef_HEAD_INIT,
                          .m_name = "python_errors",
                          .m_doc = nullptr,
                          .m_size = 0,
                          .m_methods = methods,
                          .m_slots = nullptr,
                          .m_traverse = nullptr,
                          .m_clear = nullptr,
                          .m_free = nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_python_errors() { return PyModule_Create(&definition); }
