// fast_argument<P>: converts an argument from Python to a parameter P, as Boost.Python does.
#pragma once

#include <handoff/boost_python/detail/held_place.hpp>
#include <handoff/boost_python/detail/python_object.hpp>
#include <handoff/boost_python/detail/read_number.hpp>

#include <boost/python/arg_from_python.hpp>
#include <boost/python/converter/registered.hpp>
#include <boost/python/detail/is_shared_ptr.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace handoff::detail {

// Each reads an object of exactly the expected type. Boost.Python converts everything else.
template <class T>
    requires plain_integer<T> || plain_floating_point<T>
bool read_exactly(PyObject* source, T& value) {
    return read_number(source, value);
}
inline bool read_exactly(PyObject* source, bool& value) {
    value = source == Py_True;
    return value || source == Py_False;
}
/// Boost.Python has no conversion to it. The characters are those of the argument, which the
/// caller keeps.
inline bool read_exactly(PyObject* source, std::string_view& value) {
    if (PyBytes_Check(source)) {
        value = {PyBytes_AS_STRING(source), static_cast<std::size_t>(PyBytes_GET_SIZE(source))};
        return true;
    }
    Py_ssize_t size = 0;
    char const* const text =
        PyUnicode_Check(source) ? PyUnicode_AsUTF8AndSize(source, &size) : nullptr;
    if (text == nullptr) {
        PyErr_Clear();  // Boost.Python raises its own
        return false;
    }
    value = {text, static_cast<std::size_t>(size)};
    return true;
}
/// Of other characters than ASCII's, a str would keep the UTF-8 as long as it lives.
inline bool read_exactly(PyObject* source, std::string& value) {
    std::string_view text;
    bool const is_read = PyBytes_CheckExact(source) ||
                         (PyUnicode_CheckExact(source) && PyUnicode_IS_COMPACT_ASCII(source));
    if (is_read && read_exactly(source, text)) {
        value.assign(text);
    }
    return is_read;
}
template <class T>
    requires std::is_enum_v<T>
bool read_exactly(PyObject* source, T& value) {
    long read = 0;
    if (Py_TYPE(source) != boost::python::converter::registered<T>::converters.m_class_object ||
        !read_long(source, read)) {
        return false;
    }
    value = static_cast<T>(read);
    return true;
}

template <class T>
concept fast_value = requires(PyObject* source, T& value) { read_exactly(source, value); };

/// Whether no conversion to T is registered that would be tried before read_exactly().
template <fast_value T>
[[nodiscard]] bool may_be_read() {
    auto const* const first = boost::python::converter::registered<T>::converters.rvalue_chain;
    if constexpr (std::is_same_v<T, std::string_view>) {
        return first == nullptr;
    } else {
        return first != nullptr && first->next == nullptr;
    }
}

/// What an instance of a Boost.Python class may hold.
template <class T>
concept fast_object =
    requires { sizeof(T); } && std::is_class_v<T> && !std::is_volatile_v<T> && !fast_value<T> &&
    !boost::python::detail::is_shared_ptr<T>::value && !holds_python_object<T>;

/// A number or a string: by value, or by reference to const.
template <class P>
concept fast_value_parameter =
    fast_value<std::remove_cvref_t<P>> &&
    (!std::is_reference_v<P> || std::is_same_v<P, std::remove_cvref_t<P> const&>);

/// An object: by value, of which it is a copy, by reference, or by pointer.
template <class P>
concept fast_object_parameter =
    !std::is_rvalue_reference_v<P> &&
    (fast_object<std::remove_cvref_t<P>> ||
     (std::is_pointer_v<P> && fast_object<std::remove_const_t<std::remove_pointer_t<P>>>));

/// All other parameters.
template <class P>
struct fast_argument : boost::python::arg_from_python<P> {
    using boost::python::arg_from_python<P>::arg_from_python;
};

/// Boost.Python's conversion is begun only if it is needed, and out of the way of the fast one.
template <class P>
    requires fast_value_parameter<P> || fast_object_parameter<P>
class fast_argument<P> {
    using conversion = boost::python::arg_from_python<P>;
    using type = std::remove_cv_t<std::remove_pointer_t<std::remove_cvref_t<P>>>;
    static constexpr bool is_value = fast_value_parameter<P>;

public:
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): each is begun when it is needed
    explicit fast_argument(PyObject* source) {
        if constexpr (is_value) {
            state_ = may_be_read<type>() && read_exactly(source, fast_) ? state::fast : state::slow;
        } else {
            fast_ = held_place<type>::find(source);
            state_ = fast_ != nullptr ? state::fast : state::slow;
        }
        if (state_ != state::fast) [[unlikely]] {
            begin(source);
        }
    }
    fast_argument(fast_argument const&) = delete;
    fast_argument& operator=(fast_argument const&) = delete;
    ~fast_argument() {
        if (state_ != state::fast) [[unlikely]] {
            end();
        }
    }

    [[nodiscard]] bool convertible() const { return state_ != state::impossible; }

    decltype(std::declval<conversion&>()()) operator()() {
        if (state_ != state::fast) [[unlikely]] {
            return convert();
        }
        if constexpr (is_value || std::is_pointer_v<P>) {
            return fast_;
        } else {
            return *fast_;
        }
    }

private:
    [[gnu::cold, gnu::noinline]] void begin(PyObject* source) {
        std::construct_at(&slow_, source);
        state_ = slow_.convertible() ? state::slow : state::impossible;
    }
    [[gnu::noinline]] decltype(auto) convert() { return slow_(); }
    [[gnu::cold, gnu::noinline]] void end() { std::destroy_at(&slow_); }

    enum class state : char { fast, slow, impossible };

    state state_;
    std::conditional_t<is_value, type, type*> fast_;  // read only in state::fast
    union {
        conversion slow_;  // NOLINT(readability-identifier-naming)
    };
};

}  // namespace handoff::detail
