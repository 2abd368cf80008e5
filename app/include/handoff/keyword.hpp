// keyword: an argument of interpreter::call() that has a name.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#include <string_view>

namespace handoff {

/// An argument with its name: see keyword.
template <class T>
struct keyword_argument {
    std::string_view name;
    T const& value;
};

/// Names an argument of interpreter::call(). It is not a Python object, so it does not need the
/// GIL.
///
///     python.call<double>("geometry", "area", 2.0, handoff::keyword("height") = 3.0);
class keyword {
public:
    explicit constexpr keyword(std::string_view name) noexcept : name_(name) {}

    template <class T>
    // NOLINTNEXTLINE(misc-unconventional-assign-operator): it reads as in Python
    constexpr keyword_argument<T> operator=(T const& value) const noexcept {
        return {name_, value};
    }

private:
    std::string_view name_;
};

}  // namespace handoff
