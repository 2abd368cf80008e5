// made_once(): a Python object of ours that is made when it is first wanted, and kept for ever.
#pragma once

#include <handoff/gil/python.hpp>

#include <utility>

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
    static constinit PyObject* only = nullptr;
    if (only == nullptr) {
        PyObject* const made = Make();
        if (only == nullptr) {
            only = made;
        } else {
            Py_XDECREF(made);
            PyErr_Clear();
        }
    }
    return only;
}

}  // namespace handoff::detail
