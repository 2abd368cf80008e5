// made_once(): one of Handoff's Python objects, made when it is first needed, and kept forever.
#pragma once

#include <handoff/gil/python.hpp>

#include <atomic>

namespace handoff::detail {

/// Make returns a new reference, or null with an error set. Make is called until it succeeds; its
/// result is kept and returned from then on.
///
/// The static is not initialised by Make. Make runs Python code, which may release the GIL to
/// another thread, and a thread that waits for the initialisation of a C++ static keeps the GIL. So
/// two threads may both call Make; both then get what the first one has made.
///
/// GIL:     held.
/// Returns: a borrowed reference; null with a Python error set.
template <PyObject* (*Make)()>
[[nodiscard]] PyObject* made_once() {
    static constinit std::atomic<PyObject*> only = nullptr;
    PyObject* found = only.load(std::memory_order_acquire);
    if (found == nullptr) {
        PyObject* const made = Make();
        if (only.compare_exchange_strong(found, made)) {
            return made;
        }
        Py_XDECREF(made);
        PyErr_Clear();
    }
    return found;
}

}  // namespace handoff::detail
