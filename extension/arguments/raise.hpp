// raise(): a Python error, thrown as Boost.Python does.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/errors.hpp>

namespace handoff {

/// Sets an error with the text that PyErr_Format makes of it. GIL: held. Throws: error_already_set.
template <class... Values>
[[noreturn]] void raise(PyObject* type, char const* format, Values... values) {
    PyErr_Format(type, format, values...);
    throw boost::python::error_already_set();
}

}  // namespace handoff
