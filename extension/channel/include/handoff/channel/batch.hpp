// batch: values as they lie in memory, which Python and numpy read without a copy.
#pragma once

#include <handoff/gil/python.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace handoff::detail {

/// Of how many elements of which kind a field consists.
struct element {
    char code = 0;  // of Python's module struct
    std::size_t size = 0;
    std::size_t count = 0;  // 0: it is no array
};

template <class T>
struct array_of : std::false_type {
    using type = T;
    static constexpr std::size_t count = 0;
};
template <class T, std::size_t Count>
struct array_of<T[Count]> : std::true_type {
    using type = T;
    static constexpr std::size_t count = Count;
};
template <class T, std::size_t Count>
struct array_of<std::array<T, Count>> : array_of<T[Count]> {};

/// Whether Python can read a T in place: a number, a bool or an enumeration.
template <class T>
inline constexpr bool is_plain =
    std::is_enum_v<T> || (std::is_arithmetic_v<T> && !std::is_same_v<T, long double>);

template <class T>
consteval element element_of() {
    using plain = array_of<T>::type;
    static_assert(is_plain<plain>,
                  "a field is a number, a bool, an enumeration, or an array of one of these");
    char code = 0;
    if constexpr (std::is_same_v<plain, bool>) {
        code = '?';
    } else if constexpr (std::is_floating_point_v<plain>) {
        code = sizeof(plain) == 4 ? 'f' : 'd';
    } else if constexpr (std::is_enum_v<plain>) {
        code = element_of<std::underlying_type_t<plain>>().code;
    } else {
        constexpr std::array signed_codes{'b', 'h', 'i', 'q'};
        constexpr std::array unsigned_codes{'B', 'H', 'I', 'Q'};
        std::size_t power = 0;
        while ((std::size_t{1} << power) < sizeof(plain)) {
            ++power;
        }
        code = std::is_signed_v<plain> ? signed_codes.at(power) : unsigned_codes.at(power);
    }
    return {.code = code, .size = sizeof(plain), .count = array_of<T>::count};
}

/// How a value lies in memory, in the words of Python. Source: PEP 3118, and module struct.
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

/// A Python object with the buffer protocol, which owns the values.
/// GIL:      held. Returns: a new reference; null with a Python error set.
/// REQUIRES: the layout lives as long as the process.
[[nodiscard]] PyObject* new_batch(std::shared_ptr<void> owner, void* values, std::size_t count,
                                  record_layout const& layout) noexcept;

template <class T>
[[nodiscard]] PyObject* new_batch(std::vector<T> values, record_layout const& layout) {
    auto const owner = std::make_shared<std::vector<T>>(std::move(values));
    return new_batch(owner, owner->data(), owner->size(), layout);
}

}  // namespace handoff::detail
