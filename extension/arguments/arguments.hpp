// From Python's arguments to checked C++ values, each error naming the argument and its value.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/dict.hpp>
#include <boost/python/object.hpp>
#include <boost/python/tuple.hpp>

#include <array>
#include <chrono>
#include <optional>

namespace handoff {

/// Two parameters after self, by position or name, refused in the words of Python's own functions.
struct parameters {
    char const* format;  // as PyArg_ParseTupleAndKeywords takes it, with the function's name
    std::array<char const*, 2> names;
    std::array<boost::python::object, 2> defaults;

    /// GIL:    held.
    /// Throws: error_already_set (TypeError): too many or too few, or an unknown name.
    [[nodiscard]] std::array<boost::python::object, 2> match(
        boost::python::tuple const& arguments, boost::python::dict const& keywords) const;
};

/// A number of seconds, for the argument of that name.
/// GIL:    held.
/// Throws: error_already_set: TypeError when it is not a number, OverflowError when it is an
///         integer beyond all floats, or what its __float__ raised.
std::chrono::duration<double> seconds_from(boost::python::object const& value, char const* name);

/// A timeout as the threading module takes it: None for none, a negative one has passed.
/// Returns: for any negative one -1 ns.
/// GIL:    held.
/// Throws: error_already_set: TypeError when it is not a number, ValueError for NaN,
///         OverflowError when it is longer than threading.TIMEOUT_MAX.
std::optional<std::chrono::nanoseconds> timeout_from(boost::python::object const& value);

/// An integer, for the argument of that name.
/// GIL:    held.
/// Throws: error_already_set: TypeError when it is not an integer, ValueError when it is less than
///         `least`, OverflowError when no list can be that long.
Py_ssize_t integer_from(boost::python::object const& value, char const* name, Py_ssize_t least);

}  // namespace handoff
