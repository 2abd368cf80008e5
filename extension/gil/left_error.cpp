// report_left_error(): who might still take it, and the report.
#include <handoff/gil/detail/error_aside.hpp>
#include <handoff/gil/detail/left_error.hpp>
#include <handoff/gil/detail/unwinding.hpp>

namespace handoff::detail {

namespace {

/// Whether the calling thread is within Python code, to which an error goes back.
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
                meanwhile;  // and if there is no memory for `where`, its MemoryError goes
            where = PyUnicode_FromString("a hold of the GIL that ended with this error set");
        }
        PyErr_WriteUnraisable(where);
        Py_XDECREF(where);
    });
}

}  // namespace handoff::detail
