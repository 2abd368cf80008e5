// reference: owns a Python object, with the C API alone.
#pragma once

#include <handoff/gil/python.hpp>

#include <memory>

namespace handoff::detail {

struct drop_reference {
    void operator()(PyObject* owned) const noexcept { Py_DECREF(owned); }
};

/// Owns a reference; null if a Python function has failed, with an error set.
/// GIL: held to drop it.
using reference = std::unique_ptr<PyObject, drop_reference>;

}  // namespace handoff::detail
