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

/// The value of an int or of a subclass of it; none if it is no long.
/// GIL:    held.
/// Source: cpython/longintrepr.h. An int of one digit or none is read without a call.
[[nodiscard]] inline std::optional<long> value_of_int(PyObject* object) noexcept {
    auto const* const digits = reinterpret_cast<PyLongObject*>(object);
#if PY_VERSION_HEX >= 0x030C0000
    if (PyUnstable_Long_IsCompact(digits) != 0) {
        return static_cast<long>(PyUnstable_Long_CompactValue(digits));
    }
#else
    if (Py_ssize_t const count = Py_SIZE(digits); count >= -1 && count <= 1) {
        return static_cast<long>(count) * static_cast<long>(digits->ob_digit[0]);
    }
#endif
    int overflow = 0;
    long const value = PyLong_AsLongAndOverflow(object, &overflow);
    return overflow == 0 ? std::optional(value) : std::nullopt;
}

/// The value of an int; none where Boost.Python has to decide: it is of another type, or too large.
/// GIL: held.
template <plain_integer T>
[[nodiscard]] std::optional<T> plain_number(PyObject* object) noexcept {
    if (PyLong_CheckExact(object)) {
        if (auto const value = value_of_int(object); value && std::in_range<T>(*value)) {
            return static_cast<T>(*value);
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
