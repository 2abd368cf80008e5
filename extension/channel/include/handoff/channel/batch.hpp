// batch: a channel's values in memory, which Python and numpy read without a copy.
#pragma once

#include <handoff/gil/python.hpp>

#include <array>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace handoff::detail {

/// How many elements of which kind a field has.
struct element {
    char code = 0;  // of Python's module struct
    std::size_t size = 0;
    std::size_t count = 0;  // 0: it is not an array
};

template <class T>
struct array_of : std::false_type {
    using type = T;
    static constexpr std::size_t count = 0;
};
template <class T, std::size_t Count>
struct array_of<T[Count]> : std::true_type {
    using type = std::remove_cv_t<T>;
    static constexpr std::size_t count = Count;
};
template <class T, std::size_t Count>
struct array_of<std::array<T, Count>> : array_of<T[Count]> {};
template <class T>
struct array_of<std::array<T, 0>> : std::false_type {  // which has no element to describe
    using type = std::array<T, 0>;
};

/// Whether it is a floating-point number of IEEE 754, by its format, not only by its size:
/// std::bfloat16_t has 2 bytes and is not one; a long double of 8 bytes may be one.
template <class T, std::size_t Size, int Digits>
inline constexpr bool is_ieee = std::is_floating_point_v<T> && std::numeric_limits<T>::is_iec559 &&
                                sizeof(T) == Size && std::numeric_limits<T>::digits == Digits;

/// The code of a number of this type in Python's module struct; 0: it has none, or the type is
/// neither an enumeration nor a number.
template <class T>
consteval char code_of() {
    if constexpr (std::is_same_v<T, bool>) {
        return '?';
    } else if constexpr (std::is_enum_v<T>) {
        return code_of<std::underlying_type_t<T>>();
    } else if constexpr (std::is_integral_v<T>) {
        switch (sizeof(T)) {
            case 1:
                return std::is_signed_v<T> ? 'b' : 'B';
            case 2:
                return std::is_signed_v<T> ? 'h' : 'H';
            case 4:
                return std::is_signed_v<T> ? 'i' : 'I';
            case 8:
                return std::is_signed_v<T> ? 'q' : 'Q';
            default:
                return 0;  // __int128
        }
    } else if constexpr (is_ieee<T, 2, 11>) {
        return 'e';
    } else if constexpr (is_ieee<T, 4, 24>) {
        return 'f';
    } else if constexpr (is_ieee<T, 8, 53>) {
        return 'd';
    } else {
        return 0;
    }
}

/// Whether Python can read a T in place: a number, a bool or an enumeration.
template <class T>
inline constexpr bool is_plain = code_of<std::remove_cv_t<T>>() != 0;

template <class T>
consteval element element_of() {
    using array = array_of<std::remove_cv_t<T>>;
    using plain = std::remove_cv_t<typename array::type>;
    static_assert(
        is_plain<plain> || !std::is_floating_point_v<plain>,
        "Python's module struct knows floating-point numbers of IEEE 754's half, single and "
        "double precision only, and no long double: make the field a double");
    static_assert(
        is_plain<plain> || std::is_floating_point_v<plain>,
        "a field is a number of at most 8 bytes, a bool, an enumeration, or an array of at "
        "least one of these");
    return {.code = code_of<plain>(), .size = sizeof(plain), .count = array::count};
}

/// How a value lies in memory, in Python's notation. Source: PEP 3118, and module struct.
class record_layout {
public:
    /// Of a value that is one number.
    explicit record_layout(element number);
    /// Of a struct, whose fields follow.
    explicit record_layout(std::size_t size) : size_(size) {}

    void add(std::string name, element kind, std::size_t offset);

    [[nodiscard]] bool described() const noexcept { return !buffer_format_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::string const& buffer_format() const noexcept { return buffer_format_; }
    [[nodiscard]] std::string const& struct_format() const noexcept { return struct_format_; }
    /// Empty for a number.
    [[nodiscard]] std::vector<std::string> names() const;

private:
    struct field {
        std::string name;
        element kind;
        std::size_t offset;
    };

    std::size_t size_;
    std::vector<field> fields_;  // by offset
    std::string buffer_format_;
    std::string struct_format_;
};

/// A Python object with the buffer protocol, for values that are set later.
/// GIL:      held. Returns: a new reference; null with a Python error set.
/// REQUIRES: the layout lives as long as the process.
[[nodiscard]] PyObject* new_batch(record_layout const& layout) noexcept;

/// Sets the values of a new batch, and their owner.
void fill_batch(PyObject* batch, std::shared_ptr<void> owner, void* values,
                std::size_t count) noexcept;

}  // namespace handoff::detail
