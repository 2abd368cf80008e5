// plugin: a library that calls Python, and is loaded and unloaded by what it is a part of.
#include <Python.h>

#ifdef FILLER  // so that it does not fit where another one was
extern "C" [[gnu::visibility("default")]] char const filler[FILLER] = {1};
#endif

/// By names of Python's that nothing else in the process calls.
extern "C" [[gnu::visibility("default")]] Py_ssize_t twice(PyObject* list) {
    PyObject* const doubled = PySequence_InPlaceRepeat(list, 2);
    Py_ssize_t const length = doubled != nullptr ? PyObject_LengthHint(doubled, 0) : -1;
    Py_XDECREF(doubled);
    return length;
}

/// Without a Python around it: starts one, and ends it.
extern "C" [[gnu::visibility("default")]] int run_python(char const* statements) {
    Py_Initialize();
    int const failed = PyRun_SimpleString(statements);
    return Py_FinalizeEx() + failed;
}
