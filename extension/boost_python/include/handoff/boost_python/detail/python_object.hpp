// holds_python_object<T>: whether a T is, points to, or contains a Python object.
#pragma once

#include <handoff/gil/owned.hpp>
#include <handoff/gil/shared.hpp>

#include <boost/python/back_reference.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>

#include <array>
#include <cstddef>
#include <type_traits>

namespace handoff::detail {

/// Types that begin like every CPython object: PyObject itself, PyTypeObject, PyListObject, ...
template <class T>
concept object_of_cpython = std::is_same_v<T, PyObject> || requires(T& object) { object.ob_base; };

/// object, str, dict, ... A type that is not defined yet, such as sqlite3, is not one of them.
template <class T>
concept object_of_boost = requires {
    sizeof(T);
    requires std::is_base_of_v<boost::python::api::object_base, T>;
};

template <class T>
struct is_python_object : std::bool_constant<object_of_cpython<T> || object_of_boost<T>> {};

/// Removes pointers and references.
template <class T>
inline constexpr bool holds_python_object = is_python_object<std::remove_cv_t<T>>::value;
template <class T>
inline constexpr bool holds_python_object<T&> = holds_python_object<T>;
template <class T>
inline constexpr bool holds_python_object<T&&> = holds_python_object<T>;
template <class T>
inline constexpr bool holds_python_object<T*> = holds_python_object<T>;
template <class T>
inline constexpr bool holds_python_object<T* const> = holds_python_object<T>;

/// std::vector<object>, std::optional<object>, std::pair<int, object>, ...
template <template <class...> class Container, class... Parts>
struct is_python_object<Container<Parts...>>
    : std::bool_constant<object_of_cpython<Container<Parts...>> ||
                         object_of_boost<Container<Parts...>> ||
                         (... || holds_python_object<Parts>)> {};
template <class Part, std::size_t Size>
struct is_python_object<std::array<Part, Size>> : std::bool_constant<holds_python_object<Part>> {};

template <class T>
struct is_python_object<boost::python::handle<T>> : std::true_type {};
template <class T>
struct is_python_object<boost::python::back_reference<T>> : std::true_type {};
template <class Policies>
struct is_python_object<boost::python::api::proxy<Policies>> : std::true_type {};  // o.attr("x")

/// Types that are made to be held without the GIL.
template <class T>
struct is_python_object<gil_owned<T>> : std::false_type {};
template <class T>
struct is_python_object<gil_shared<T>> : std::false_type {};

}  // namespace handoff::detail
