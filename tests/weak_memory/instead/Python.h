// Python.h: what the modelled sources call of Python, with one lock for the GIL.
#pragma once

#include <cstddef>

#define PY_VERSION_HEX 0x030E0000  // one that hangs a thread which comes too late
#define PY_MINOR_VERSION 14
#define METH_NOARGS 0x0004

using Py_ssize_t = std::ptrdiff_t;

struct PyObject {};
struct PyInterpreterState {};
struct PyThreadState {
    PyObject* current_exception = nullptr;
};
struct PyMethodDef {
    char const* ml_name;
    PyObject* (*ml_meth)(PyObject*, PyObject*);
    int ml_flags;
    char const* ml_doc;
};

inline PyInterpreterState only_interpreter;
inline PyObject none;
inline PyObject* const Py_None = &none;
inline PyObject* const Py_True = &none;
inline PyObject* const Py_False = nullptr;
inline PyObject* const PyExc_Exception = &none;
inline PyObject* const PyExc_RuntimeError = &none;

inline PyObject* Py_NewRef(PyObject* object) { return object; }
inline PyObject* Py_XNewRef(PyObject* object) { return object; }
inline void Py_XDECREF(PyObject* /*object*/) {}
inline PyObject* PyCFunction_New(PyMethodDef* /*method*/, PyObject* /*self*/) { return &none; }
inline PyObject* PyImport_ImportModule(char const* /*name*/) { return &none; }
inline PyObject* PyImport_GetModuleDict() { return &none; }
inline PyObject* PyDict_GetItemString(PyObject* /*dict*/, char const* /*key*/) { return &none; }
template <class... Arguments>
PyObject* PyObject_CallMethod(Arguments... /*all*/) {
    return &none;
}
inline PyObject* PyErr_Occurred() { return nullptr; }
inline int PyErr_ExceptionMatches(PyObject* /*type*/) { return 0; }
inline void PyErr_Clear() {}
inline void PyErr_SetString(PyObject* /*type*/, char const* /*message*/) {}
inline void PyErr_NoMemory() {}
inline void PyErr_Fetch(PyObject** /*type*/, PyObject** /*value*/, PyObject** /*traceback*/) {}
inline void PyErr_Restore(PyObject* /*type*/, PyObject* /*value*/, PyObject* /*traceback*/) {}
inline int PyErr_CheckSignals() { return 0; }

inline int Py_IsInitialized() { return 1; }
inline int Py_IsFinalizing() { return 0; }
inline PyInterpreterState* PyInterpreterState_Get() { return &only_interpreter; }
inline PyInterpreterState* PyInterpreterState_Main() { return &only_interpreter; }

// The GIL, and who has it: see embedded.hpp.
int Py_AddPendingCall(int (*call)(void*), void* argument);
PyThreadState* PyThreadState_GetUnchecked();
PyThreadState* PyEval_SaveThread();
void PyEval_RestoreThread(PyThreadState* state);
