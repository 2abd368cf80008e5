// Module built_with_gil: what a module does that was compiled for a Python with a GIL, and is
// loaded by a free-threaded one. It contains the function that refuses as such a module has it.
#include <pyconfig.h>
#undef Py_GIL_DISABLED
#include "../extension/gil/free_threading.cpp"  // NOLINT(bugprone-suspicious-include): as such a module has it

PyMODINIT_FUNC PyInit_built_with_gil() {
    if (handoff::detail::refuse_free_threaded_python()) {
        return nullptr;
    }
    PyErr_SetString(PyExc_RuntimeError, "it is not refused");
    return nullptr;
}
