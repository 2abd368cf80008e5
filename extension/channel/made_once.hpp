// made_once(): a Python object of ours that is made when it is first wanted, and kept for ever.
#pragma once

#include <handoff/gil/python.hpp>

#include <atomic>

namespace handoff::detail {

/// What Make returns, a new reference or null with an error set, the first time that it is none.
///
/// The static is not initialised by Make: that runs Python code, which may let another thread have
/// the GIL, and a thread that waits for a C++ static to be initialised keeps the GIL. So two
/// threads may both make one; what the first has made is what everybody gets.
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
