// The checks of what Python passes.
#include "arguments.hpp"

#include "raise.hpp"

#include <boost/python/errors.hpp>

#include <cmath>

namespace handoff {

namespace py = boost::python;

namespace {

/// `wanted` says what kind of number, and what else is taken instead of one.
std::chrono::duration<double> seconds_from(py::object const& value, char const* name,
                                           char const* wanted) {
    double const number = PyFloat_AsDouble(value.ptr());
    if (number == -1.0 && PyErr_Occurred() != nullptr) {
        if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {
            PyErr_Clear();
            raise(PyExc_TypeError, "%s must be %s, not %.80R", name, wanted, value.ptr());
        }
        if (PyErr_ExceptionMatches(PyExc_OverflowError) != 0) {
            PyErr_Clear();
            raise(PyExc_OverflowError, "%s is too large: %.80R", name, value.ptr());
        }
        throw py::error_already_set();
    }
    return std::chrono::duration<double>(number);
}

}  // namespace

std::chrono::duration<double> seconds_from(py::object const& value, char const* name) {
    return seconds_from(value, name, "a number of seconds");
}

std::optional<std::chrono::nanoseconds> timeout_from(py::object const& value) {
    using std::chrono::nanoseconds;
    if (value.is_none()) {
        return std::nullopt;
    }
    char const* const wanted = "a number of seconds or None";
    std::chrono::duration<double> const timeout = seconds_from(value, "timeout", wanted);
    if (std::isnan(timeout.count())) {
        raise(PyExc_ValueError, "timeout must be %s, not %.80R", wanted, value.ptr());
    }
    // Source: CPython's threading.TIMEOUT_MAX, where timeouts are nanoseconds in 64 bits.
    static constexpr std::chrono::duration<double> longest = nanoseconds::max();
    if (timeout >= longest) {
        raise(PyExc_OverflowError, "timeout is too long: %.80R s; None waits without one",
              value.ptr());
    }
    return timeout.count() < 0 ? nanoseconds(-1) : std::chrono::ceil<nanoseconds>(timeout);
}

Py_ssize_t integer_from(py::object const& value, char const* name, Py_ssize_t least) {
    if (PyIndex_Check(value.ptr()) == 0) {
        raise(PyExc_TypeError, "%s must be an integer, not %.80R", name, value.ptr());
    }
    Py_ssize_t const number = PyNumber_AsSsize_t(value.ptr(), nullptr);  // clipped, not refused
    if (number == -1 && PyErr_Occurred() != nullptr) {
        throw py::error_already_set();
    }
    if (number < least) {
        raise(PyExc_ValueError, "%s must be at least %zd, not %.80R", name, least, value.ptr());
    }
    if (number == PY_SSIZE_T_MAX) {
        raise(PyExc_OverflowError, "%s is too large: %.80R", name, value.ptr());
    }
    return number;
}

}  // namespace handoff
