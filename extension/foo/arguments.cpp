// The checks of what Python passes to Foo.
#include "arguments.hpp"

#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/slice.hpp>

#include <algorithm>
#include <cmath>

namespace handoff {

namespace py = boost::python;

namespace {

template <class... Values>
[[noreturn]] void raise(PyObject* type, char const* format, Values... values) {
    PyErr_Format(type, format, values...);
    throw py::error_already_set();
}

}  // namespace

std::array<py::object, 2> parameters::match(py::tuple const& arguments,
                                            py::dict const& keywords) const {
    py::object const without_self = arguments.slice(1, py::slice_nil());
    std::array<char*, 3> const c_names{const_cast<char*>(names[0]), const_cast<char*>(names[1]),
                                       nullptr};
    PyObject* first = defaults[0].ptr();
    PyObject* second = defaults[1].ptr();
    if (PyArg_ParseTupleAndKeywords(without_self.ptr(), keywords.ptr(), format,
                                    const_cast<char**>(c_names.data()), &first, &second) == 0) {
        throw py::error_already_set();
    }
    return {py::object(py::handle<>(py::borrowed(first))),
            py::object(py::handle<>(py::borrowed(second)))};
}

std::chrono::duration<double> seconds_from(py::object const& value, char const* name) {
    double const number = PyFloat_AsDouble(value.ptr());
    if (number == -1.0 && PyErr_Occurred() != nullptr) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {
            PyErr_Clear();
            raise(PyExc_TypeError, "%s must be a number of seconds, not %.80R", name, value.ptr());
        }
        if (PyErr_ExceptionMatches(PyExc_OverflowError) != 0) {
            PyErr_Clear();
            raise(PyExc_OverflowError, "%s is too large: %.80R", name, value.ptr());
        }
        throw py::error_already_set();
    }
    return std::chrono::duration<double>(number);
}

std::optional<std::chrono::microseconds> timeout_from(py::object const& value) {
    if (value.is_none()) {
        return std::nullopt;
    }
    std::chrono::duration<double> const timeout = seconds_from(value, "timeout");
    if (std::isnan(timeout.count())) {
        raise(PyExc_ValueError, "timeout must be a number of seconds or None, not %.80R",
              value.ptr());
    }
    // Source: CPython's threading.TIMEOUT_MAX, where timeouts are nanoseconds in 64 bits.
    static constexpr std::chrono::duration<double> longest = std::chrono::nanoseconds::max();
    if (timeout >= longest) {
        raise(PyExc_OverflowError, "timeout is too long: %.80R s; None waits without one",
              value.ptr());
    }
    return std::chrono::ceil<std::chrono::microseconds>(std::max(timeout, -longest));
}

Py_ssize_t count_from(py::object const& value) {
    if (PyIndex_Check(value.ptr()) == 0) {
        raise(PyExc_TypeError, "count must be an integer, not %.80R", value.ptr());
    }
    Py_ssize_t const count = PyNumber_AsSsize_t(value.ptr(), nullptr);  // clipped, not refused
    if (count == -1 && PyErr_Occurred() != nullptr) {
        throw py::error_already_set();
    }
    if (count < 0) {
        raise(PyExc_ValueError, "count must not be negative, not %.80R", value.ptr());
    }
    if (count == PY_SSIZE_T_MAX) {
        raise(PyExc_OverflowError, "count is too large for any list: %.80R", value.ptr());
    }
    return count;
}

}  // namespace handoff
