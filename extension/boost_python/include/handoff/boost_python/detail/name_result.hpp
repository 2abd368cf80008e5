// name_result(): an error says what was called in Python, and what that returned.
#pragma once

#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/python.hpp>

#include <array>
#include <string>

namespace handoff::detail {

/// Begins the text of the TypeError or OverflowError that is set with "CALLED returned RESULT: ".
/// Another exception is a converter's own, and stays as it is.
///
/// called: returns for example "Strategy.on_price()". No error is set while it runs.
/// GIL:    held.
template <class Called>
void name_result(PyObject* result, Called const& called) {
    PyObject* type = nullptr;
    PyObject* value = nullptr;
    PyObject* traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (type != PyExc_TypeError && type != PyExc_OverflowError) {
        return PyErr_Restore(type, value, traceback);
    }
    std::array const dropped{reference(type), reference(value), reference(traceback)};
    PyErr_Format(type, "%s returned %.200R: %S", std::string(called()).c_str(), result, value);
}

}  // namespace handoff::detail
