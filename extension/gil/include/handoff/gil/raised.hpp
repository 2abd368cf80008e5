// take_raised_exception(): the Python error that is set, as one object.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff {

/// Clears the error that is set in this thread and returns it: a new reference to the exception,
/// with its traceback. The error is stored in the thread state: take it before the GIL is released.
///
/// GIL:      held.
/// REQUIRES: an error is set.
/// Source:   PyErr_GetRaisedException, which is new in 3.12.
[[nodiscard]] inline PyObject* take_raised_exception() noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject* type = nullptr;
    PyObject* exception = nullptr;
    PyObject* traceback = nullptr;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (traceback != nullptr) {
        PyException_SetTraceback(exception, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return exception;
#endif
}

}  // namespace handoff
