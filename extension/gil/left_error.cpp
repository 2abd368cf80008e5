// report_left_error(): checks which caller can still handle the error, and reports it.
#include <handoff/gil/detail/error_aside.hpp>
#include <handoff/gil/detail/left_error.hpp>
#include <handoff/gil/detail/unwinding.hpp>

namespace handoff::detail {

namespace {

/// Whether Python code called the calling thread's code, so that an error returns to it.
bool is_called_by_python() noexcept {
    PyFrameObject* const frame = PyThreadState_GetFrame(PyThreadState_Get());
    Py_XDECREF(frame);
    return frame != nullptr;
}

}  // namespace

void report_left_error() noexcept {
    if (releases_in_scope > 0 || is_called_by_python()) {
        return;
    }
    rather_hang([] {
        PyObject* where = nullptr;
        {
            error_aside const
                meanwhile;  // also drops a MemoryError if there is no memory for `where`
            where = PyUnicode_FromString("a hold of the GIL that ended with this error set");
        }
        PyErr_WriteUnraisable(where);
        Py_XDECREF(where);
    });
}

}  // namespace handoff::detail
