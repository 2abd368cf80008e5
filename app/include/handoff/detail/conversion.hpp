// to_python(), from_python(): how interpreter::call() converts arguments and a result.
#pragma once

#include <handoff/boost_python/detail/python_object.hpp>
#include <handoff/keyword.hpp>

#include <boost/python/converter/registry.hpp>
#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/list.hpp>
#include <boost/python/object.hpp>
#include <boost/python/type_id.hpp>

#include <boost/numeric/conversion/cast.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <ranges>
#include <string_view>
#include <type_traits>
#include <vector>

namespace handoff::detail {

template <class T>
inline constexpr bool is_keyword = false;
template <class T>
inline constexpr bool is_keyword<keyword_argument<T>> = true;

template <class T>
inline constexpr bool is_vector = false;
template <class T, class Allocator>
inline constexpr bool is_vector<std::vector<T, Allocator>> = true;

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

[[nodiscard]] boost::python::object str(std::string_view utf8);
[[nodiscard]] boost::python::object pathlib_path(std::filesystem::path const& path);
[[nodiscard]] std::filesystem::path path_of(boost::python::object const& path_like);

/// Whether a module of the application has registered with Boost.Python how to convert a T to
/// Python.
template <class T>
bool is_registered() {
    auto const* const known =
        boost::python::converter::registry::query(boost::python::type_id<T>());
    return known != nullptr && known->m_to_python != nullptr;
}

/// GIL: held. Throws: boost::python::error_already_set.
template <class T>
boost::python::object to_python(T const& value) {
    using boost::python::object;
    if constexpr (std::is_same_v<T, std::nullptr_t> || std::is_same_v<T, std::nullopt_t>) {
        return object();
    } else if constexpr (std::is_convertible_v<T const&, char const*>) {
        char const* const text = value;
        return text != nullptr ? str(text) : object();
    } else if constexpr (std::is_same_v<T, std::string_view>) {
        return str(value);
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
        return is_registered<T>() ? object(value) : pathlib_path(value);
    } else if constexpr (is_optional<T>) {
        if (is_registered<T>()) {
            return object(value);
        }
        return value ? to_python(*value) : object();
    } else if constexpr (is_vector<T>) {
        if (is_registered<T>()) {
            return object(value);
        }
        boost::python::list elements;
        for (typename T::const_reference element : value) {
            elements.append(to_python<typename T::value_type>(element));
        }
        return elements;
    } else {
        return object(value);
    }
}

/// The result outlives the Python object that it comes from. This checks that its type allows it.
template <class T>
constexpr void refuse_unless_it_owns() {
    static_assert(
        !holds_python_object<T>,
        "call<Result>(): Result is or holds a Python object, which must not leave call(): "
        "nobody holds the GIL then. Convert it inside invoke(), or return it from "
        "invoke() as handoff::gil_owned<boost::python::object>");
    static_assert(!std::is_reference_v<T> && !std::is_pointer_v<T> &&
                      !std::ranges::enable_borrowed_range<std::remove_cv_t<T>>,
                  "call<Result>(): Result refers to memory of a Python object that is gone when "
                  "call() returns. Ask for a value that owns what it holds: std::string instead of "
                  "char const* or std::string_view, T instead of T& or T*, std::vector<T> instead "
                  "of std::span<T>");
}

/// The whole of what Python returned, or an element of it.
enum class part : unsigned char { whole, element };

/// Boost.Python's own conversion. If the type cannot hold a number, it throws a Boost exception,
/// which becomes Python's OverflowError here. name_result() puts the whole result before its text.
template <class T>
T extracted(boost::python::object const& result, part which) {
    try {
        return boost::python::extract<T>(result)();
    } catch (boost::numeric::bad_numeric_cast const& failure) {
        if (which == part::whole) {
            PyErr_Format(PyExc_OverflowError, "it does not fit the result's C++ type: %s",
                         failure.what());
        } else {
            PyErr_Format(PyExc_OverflowError, "the element %.80R does not fit its C++ type: %s",
                         result.ptr(), failure.what());
        }
        throw boost::python::error_already_set();
    }
}

/// GIL: held. Throws: boost::python::error_already_set.
template <class T>
T from_python(boost::python::object const& result, part which = part::whole) {
    refuse_unless_it_owns<T>();
    if constexpr (std::is_same_v<T, std::filesystem::path>) {
        if (boost::python::extract<T> registered(result); registered.check()) {
            return registered();
        }
        return path_of(result);
    } else if constexpr (is_optional<T>) {
        if (result.is_none()) {
            return std::nullopt;
        }
        return from_python<typename T::value_type>(result, which);
    } else if constexpr (is_vector<T>) {
        if (boost::python::extract<T> registered(result); registered.check()) {
            return registered();
        }
        boost::python::list const all(result);
        T elements;
        elements.reserve(static_cast<std::size_t>(boost::python::len(all)));
        for (Py_ssize_t i = 0; i < boost::python::len(all); ++i) {
            elements.push_back(from_python<typename T::value_type>(all[i], part::element));
        }
        return elements;
    } else if constexpr (!holds_python_object<T> && !std::is_reference_v<T> &&
                         !std::is_pointer_v<T>) {  // otherwise it was refused above
        return extracted<T>(result, which);
    }
}

/// Calls it with these values, the last of which have the names. See PyObject_Vectorcall.
[[nodiscard]] boost::python::object call_with_values(
    boost::python::object const& callable, std::vector<boost::python::object> const& values,
    std::vector<std::string_view> const& names);

/// callable(arguments...). GIL: held. Throws: boost::python::error_already_set.
template <class... Arguments>
boost::python::object call_with(boost::python::object const& callable,
                                Arguments const&... arguments) {
    std::vector<boost::python::object> values;
    std::vector<std::string_view> names;
    values.reserve(sizeof...(arguments));
    [[maybe_unused]] auto const add = [&]<class T>(T const& argument) {
        if constexpr (is_keyword<T>) {
            names.push_back(argument.name);
            values.push_back(to_python(argument.value));
        } else {
            values.push_back(to_python(argument));
        }
    };
    (add(arguments), ...);
    return call_with_values(callable, values, names);
}

/// Whether no argument without a keyword follows one with it.
template <class... Arguments>
constexpr bool keywords_come_last() {
    [[maybe_unused]] bool named = false;  // without arguments
    bool in_order = true;
    ((in_order = in_order && (is_keyword<Arguments> || !named),
      named = named || is_keyword<Arguments>),
     ...);
    return in_order;
}

}  // namespace handoff::detail
