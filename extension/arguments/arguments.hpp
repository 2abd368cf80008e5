// From Python's arguments to checked C++ values, each error naming the argument and its value.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/dict.hpp>
#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <tuple>

namespace handoff {

/// The parameters of a function, by position or name, refused in the words of Python's own
/// functions.
template <std::size_t N>
struct parameters {
    char const* format;  // as PyArg_ParseTupleAndKeywords takes it, with the function's name
    std::array<char const*, N> names;

    /// Returns: what was passed, and the defaults for the rest.
    /// GIL:     held.
    /// Throws:  error_already_set (TypeError): too many or too few, or an unknown name.
    [[nodiscard]] std::array<boost::python::object, N> match(
        boost::python::object const& arguments, boost::python::dict const& keywords,
        std::array<PyObject*, N> defaults) const {
        std::array<char*, N + 1> c_names{};
        for (std::size_t i = 0; i < N; ++i) {
            c_names[i] = const_cast<char*>(names[i]);
        }
        bool const matches = std::apply(
            [&](auto&... each) {
                return PyArg_ParseTupleAndKeywords(arguments.ptr(), keywords.ptr(), format,
                                                   c_names.data(), &each...) != 0;
            },
            defaults);
        if (!matches) {
            throw boost::python::error_already_set();
        }
        std::array<boost::python::object, N> matched;
        for (std::size_t i = 0; i < N; ++i) {
            matched[i] = boost::python::object(
                boost::python::handle<>(boost::python::borrowed(defaults[i])));
        }
        return matched;
    }
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
