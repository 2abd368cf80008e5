// plain_number<T>(): a Python number as Boost.Python converts it, without its search for a
// converter.
#pragma once

#include <handoff/gil/python.hpp>

#include <concepts>
#include <optional>
#include <utility>

namespace handoff::detail {

template <class T>
concept plain_integer = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> &&
                        !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
                        !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

template <class T>
concept plain_floating_point = std::floating_point<T> && !std::same_as<T, long double>;

/// The value of an int; none where Boost.Python has to decide: it is of another type, or too large.
/// GIL: held.
template <plain_integer T>
[[nodiscard]] std::optional<T> plain_number(PyObject* object) noexcept {
    if (PyLong_CheckExact(object)) {
        int overflow = 0;
        long const value = PyLong_AsLongAndOverflow(object, &overflow);
        if (overflow == 0 && std::in_range<T>(value)) {
            return static_cast<T>(value);
        }
    }
    return std::nullopt;
}

/// The value of a float; none where it is of another type. GIL: held.
template <plain_floating_point T>
[[nodiscard]] std::optional<T> plain_number(PyObject* object) noexcept {
    if (PyFloat_CheckExact(object)) {
        return static_cast<T>(PyFloat_AS_DOUBLE(object));
    }
    return std::nullopt;
}

}  // namespace handoff::detail
