// fast_argument<P>: converts an argument from Python to a parameter P, as Boost.Python does.
#pragma once

#include <handoff/boost_python/detail/held_place.hpp>
#include <handoff/boost_python/detail/python_object.hpp>
#include <handoff/boost_python/detail/read_number.hpp>

#include <boost/python/arg_from_python.hpp>
#include <boost/python/converter/registered.hpp>

#include <boost/shared_ptr.hpp>

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
/// Boost.Python has no conversion to it. The characters belong to the argument, which the call
/// keeps.
inline bool read_exactly(PyObject* source, std::string_view& value) {
    Py_ssize_t size = 0;
    char const* characters = nullptr;
    if (PyBytes_Check(source)) {
        characters = PyBytes_AS_STRING(source);
        size = PyBytes_GET_SIZE(source);
    } else if (PyUnicode_Check(source)) {
        characters = PyUnicode_AsUTF8AndSize(source, &size);
        if (characters == nullptr) {
            PyErr_Clear();  // Boost.Python raises its own error
        }
    }
    value = {characters, static_cast<std::size_t>(size)};
    return characters != nullptr;
}
inline bool read_exactly(PyObject* source, std::string& value) {
    std::string_view text;
    if ((!PyBytes_CheckExact(source) && !PyUnicode_CheckExact(source)) ||
        !read_exactly(source, text)) {
        return false;
    }
    value.assign(text);
    return true;
}
template <class T>
    requires std::is_enum_v<T>
bool read_exactly(PyObject* source, T& value) {
    if (Py_TYPE(source) != boost::python::converter::registered<T>::converters.m_class_object) {
        return false;
    }
    long read = 0;
    bool const was_read = read_long(source, read);
    value = static_cast<T>(read);
    return was_read;
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

template <class T>
struct is_shared_ptr : std::false_type {};
template <class T>
struct is_shared_ptr<std::shared_ptr<T>> : std::true_type {};
template <class T>
struct is_shared_ptr<boost::shared_ptr<T>> : std::true_type {};

/// What an instance of a Boost.Python class may hold.
template <class T>
concept fast_class = requires { sizeof(T); } && std::is_class_v<T> && !std::is_volatile_v<T> &&
                     !fast_value<T> && !is_shared_ptr<T>::value && !holds_python_object<T>;

/// All other parameters.
template <class P>
struct fast_argument : boost::python::arg_from_python<P> {
    using boost::python::arg_from_python<P>::arg_from_python;
};

/// Boost.Python's conversion, begun only if it is needed, so that it does not slow the fast one.
template <class P>
class slow_argument {
    using conversion = boost::python::arg_from_python<P>;

public:
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): until it is begun
    slow_argument() {}
    slow_argument(slow_argument const&) = delete;
    slow_argument& operator=(slow_argument const&) = delete;
    ~slow_argument() {
        if (is_slow()) [[unlikely]] {
            end();
        }
    }

    [[nodiscard]] bool convertible() const { return state_ != state::impossible; }

protected:
    [[nodiscard]] bool is_slow() const { return state_ != state::fast; }

    [[gnu::noinline]] void begin(PyObject* source) {
        std::construct_at(&slow_, source);
        state_ = slow_.convertible() ? state::slow : state::impossible;
    }

    [[gnu::noinline]] decltype(auto) convert() { return slow_(); }

private:
    [[gnu::noinline]] void end() { std::destroy_at(&slow_); }

    enum class state : char { fast, slow, impossible };

    state state_ = state::fast;
    union {
        conversion slow_;  // NOLINT(readability-identifier-naming)
    };
};

/// Numbers and strings.
template <class P>
    requires fast_value<std::remove_cvref_t<P>> &&
             (!std::is_reference_v<P> || std::is_same_v<P, std::remove_cvref_t<P> const&>)
class fast_argument<P> : public slow_argument<P> {
    using value = std::remove_cvref_t<P>;

public:
    explicit fast_argument(PyObject* source) {
        if (!may_be_read<value>() || !read_exactly(source, value_)) [[unlikely]] {
            this->begin(source);
        }
    }

    std::conditional_t<std::is_reference_v<P>, value const&, value&> operator()() {
        if (this->is_slow()) [[unlikely]] {
            return this->convert();
        }
        return value_;
    }

private:
    value value_{};  // NOLINT(bugprone-invalid-enum-default-initialization): until it is read
};

/// References to objects, and objects by value, which are copied from a reference.
template <class P>
    requires fast_class<std::remove_cvref_t<P>> && (!std::is_rvalue_reference_v<P>)
class fast_argument<P> : public slow_argument<P> {
    using type = std::remove_cvref_t<P>;

public:
    explicit fast_argument(PyObject* source) : found_(held_place<type>::find(source)) {
        if (found_ == nullptr) [[unlikely]] {
            this->begin(source);
        }
    }

    std::add_lvalue_reference_t<P> operator()() {
        if (this->is_slow()) [[unlikely]] {
            return this->convert();
        }
        return *found_;
    }

private:
    type* found_;
};

/// Pointers to objects.
template <class T>
    requires fast_class<std::remove_const_t<T>>
class fast_argument<T*> : public slow_argument<T*> {
public:
    explicit fast_argument(PyObject* source)
        : found_(held_place<std::remove_const_t<T>>::find(source)) {
        if (found_ == nullptr) [[unlikely]] {
            this->begin(source);
        }
    }

    T* operator()() {
        if (this->is_slow()) [[unlikely]] {
            return this->convert();
        }
        return found_;
    }

private:
    T* found_;
};

}  // namespace handoff::detail
