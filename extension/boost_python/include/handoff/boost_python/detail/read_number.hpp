// read_number(): converts a Python number as Boost.Python does, without its search for a converter.
#pragma once

#include <handoff/gil/python.hpp>

#include <concepts>
#include <utility>

namespace handoff::detail {

template <class T>
concept plain_integer =
    std::integral<T> && sizeof(T) <= sizeof(long) && !std::same_as<T, bool> &&
    !std::same_as<T, char> && !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> &&
    !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

template <class T>
concept plain_floating_point = std::same_as<T, float> || std::same_as<T, double>;

/// Reads an int, or an object of a subclass of int. Returns: false if the value does not fit.
/// GIL:    held.
/// Source: cpython/longintrepr.h. An int of at most one digit is read without a call.
[[nodiscard]] inline bool read_long(PyObject* object, long& value) noexcept {
    auto const* const digits = reinterpret_cast<PyLongObject*>(object);
#if PY_VERSION_HEX >= 0x030C0000
    if (PyUnstable_Long_IsCompact(digits) != 0) [[likely]] {
        value = static_cast<long>(PyUnstable_Long_CompactValue(digits));
        return true;
    }
#else
    if (Py_ssize_t const count = Py_SIZE(digits); count >= -1 && count <= 1) [[likely]] {
        value = static_cast<long>(count) * static_cast<long>(digits->ob_digit[0]);
        return true;
    }
#endif
    int overflow = 0;
    value = PyLong_AsLongAndOverflow(object, &overflow);
    return overflow == 0;
}

/// Reads an int; false if Boost.Python has to decide, because its type is another or it is too
/// large.
/// GIL: held.
template <plain_integer T>
[[nodiscard]] bool read_number(PyObject* object, T& value) noexcept {
    long found = 0;
    if (!PyLong_CheckExact(object) || !read_long(object, found) || !std::in_range<T>(found)) {
        return false;
    }
    value = static_cast<T>(found);
    return true;
}

/// Reads a float; false if its type is another. GIL: held.
template <plain_floating_point T>
[[nodiscard]] bool read_number(PyObject* object, T& value) noexcept {
    if (!PyFloat_CheckExact(object)) {
        return false;
    }
    value = static_cast<T>(PyFloat_AS_DOUBLE(object));
    return true;
}

}  // namespace handoff::detail
