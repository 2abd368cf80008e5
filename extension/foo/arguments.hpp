// From Python's arguments to checked C++ values, each error naming the argument and its value.
#pragma once

#include <boost/python/object.hpp>

#include <chrono>
#include <optional>

namespace handoff {

/// A number of seconds, for the argument of that name.
/// GIL:    held.
/// Throws: error_already_set: TypeError when it is not a number, or what its __float__ raised.
std::chrono::duration<double> seconds_from(boost::python::object const& value, char const* name);

/// A timeout as the threading module takes it: None for none, a negative one has passed.
/// GIL:    held.
/// Throws: error_already_set: TypeError when it is not a number, ValueError for NaN,
///         OverflowError when it is longer than threading.TIMEOUT_MAX.
std::optional<std::chrono::microseconds> timeout_from(boost::python::object const& value);

/// A count of messages.
/// GIL:    held.
/// Throws: error_already_set: TypeError when it is not an integer, ValueError when negative,
///         OverflowError when no list can be that long.
Py_ssize_t count_from(boost::python::object const& value);

}  // namespace handoff
