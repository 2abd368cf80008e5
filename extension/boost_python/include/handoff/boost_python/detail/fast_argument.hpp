// fast_argument<P>: an argument from Python for a parameter P, as Boost.Python converts it.
#pragma once

#include <handoff/boost_python/detail/held_place.hpp>
#include <handoff/boost_python/detail/plain_number.hpp>
#include <handoff/boost_python/detail/python_object.hpp>

#include <boost/python/arg_from_python.hpp>
#include <boost/python/converter/registered.hpp>

#include <boost/shared_ptr.hpp>

#include <memory>
#include <optional>
#include <string>
#include <type_traits>

namespace handoff::detail {

/// Whether Boost.Python's own conversion to T is the only one.
template <class T>
[[nodiscard]] bool has_one_conversion() {
    auto const* const first = boost::python::converter::registered<T>::converters.rvalue_chain;
    return first != nullptr && first->next == nullptr;
}

// Each reads an object of just the type that is expected. All else is left to Boost.Python.
template <class T>
    requires plain_integer<T> || plain_floating_point<T>
bool read_exactly(PyObject* source, T& value) {
    auto const read = plain_number<T>(source);
    value = read.value_or(T{});
    return read.has_value();
}
inline bool read_exactly(PyObject* source, bool& value) {
    value = source == Py_True;
    return value || source == Py_False;
}
inline bool read_exactly(PyObject* source, std::string& value) {
    if (PyBytes_CheckExact(source)) {
        value.assign(PyBytes_AS_STRING(source), static_cast<std::size_t>(PyBytes_GET_SIZE(source)));
        return true;
    }
    if (!PyUnicode_CheckExact(source)) {
        return false;
    }
    Py_ssize_t size = 0;
    char const* const characters = PyUnicode_AsUTF8AndSize(source, &size);
    if (characters == nullptr) {
        PyErr_Clear();  // Boost.Python raises its own
        return false;
    }
    value.assign(characters, static_cast<std::size_t>(size));
    return true;
}

template <class T>
concept fast_value = requires(PyObject* source, T& value) { read_exactly(source, value); };

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

/// Boost.Python's conversion, begun only if it is needed.
template <class P>
class slow_argument {
public:
    [[nodiscard]] bool convertible() const { return !slow || slow->convertible(); }

protected:
    void begin(PyObject* source) { slow.emplace(source); }

    // NOLINTNEXTLINE(misc-non-private-member-variables-in-classes)
    std::optional<boost::python::arg_from_python<P>> slow;
};

/// Numbers and strings.
template <class P>
    requires fast_value<std::remove_cvref_t<P>> &&
             (!std::is_reference_v<P> || std::is_same_v<P, std::remove_cvref_t<P> const&>)
class fast_argument<P> : public slow_argument<P> {
    using value = std::remove_cvref_t<P>;

public:
    explicit fast_argument(PyObject* source) {
        if (!has_one_conversion<value>() || !read_exactly(source, value_)) {
            this->begin(source);
        }
    }

    std::conditional_t<std::is_reference_v<P>, value const&, value&> operator()() {
        if (this->slow) {
            return (*this->slow)();
        }
        return value_;
    }

private:
    value value_{};
};

/// References to objects, and objects by value, which are copied from a reference.
template <class P>
    requires fast_class<std::remove_cvref_t<P>> && (!std::is_rvalue_reference_v<P>)
class fast_argument<P> : public slow_argument<P> {
    using type = std::remove_cvref_t<P>;

public:
    explicit fast_argument(PyObject* source) : found_(held_place<type>::find(source)) {
        if (found_ == nullptr) {
            this->begin(source);
        }
    }

    std::add_lvalue_reference_t<P> operator()() {
        if (this->slow) {
            return (*this->slow)();
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
        if (found_ == nullptr) {
            this->begin(source);
        }
    }

    T* operator()() {
        if (this->slow) {
            return (*this->slow)();
        }
        return found_;
    }

private:
    T* found_;
};

}  // namespace handoff::detail
