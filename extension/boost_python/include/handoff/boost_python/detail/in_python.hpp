// in_python(): C++ code calls Python from any thread, and gets the result.
#pragma once

#include <handoff/boost_python/detail/name_result.hpp>
#include <handoff/boost_python/detail/python_object.hpp>
#include <handoff/boost_python/detail/read_number.hpp>
#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/try_acquire.hpp>
#include <handoff/python_error.hpp>

#include <boost/python/converter/arg_to_python.hpp>
#include <boost/python/converter/return_from_python.hpp>
#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>

#include <boost/numeric/conversion/cast.hpp>

#include <array>
#include <ranges>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace handoff::detail {

/// The result outlives the Python object that it comes from, and is passed where the GIL is not
/// held; so are the arguments. This checks that their types allow it.
template <class R, class... Args>
constexpr void refuse_what_needs_the_gil() {
    static_assert(!holds_python_object<R> && (... && !holds_python_object<Args>),
                  "a Python object (PyObject*, boost::python::object, handle<>) among the "
                  "parameters or as the result: the caller may be a thread that does not hold the "
                  "GIL. Use C++ types");
    static_assert(!std::is_reference_v<R> && !std::is_pointer_v<R> &&
                      !std::ranges::enable_borrowed_range<std::remove_cv_t<R>>,
                  "the result refers to memory of a Python object that is gone when the call "
                  "returns. Use a type that owns what it holds: std::string instead of char const* "
                  "or std::string_view, T instead of T& or T*");
}

template <class R>
constexpr bool is_plain_number =
    std::is_same_v<R, double> || std::is_same_v<R, int> || std::is_same_v<R, long>;

/// Owns what Python returned; null if it raised.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
template <class R>
R result_from_python(PyObject* result) {
    if constexpr (is_plain_number<R>) {
        R number = 0;
        if (result != nullptr && read_number(result, number)) {
            Py_DECREF(result);
            return number;
        }
    }
    boost::python::converter::return_from_python<R> from_python;
    return from_python(result);
}

/// What is called in Python: an object, or its method of that name.
struct python_callee {
    boost::python::object object;
    PyObject* method = nullptr;  // borrowed

    /// For an error: "on_price()", "Strategy.on_price()", or its repr(). GIL: held.
    [[nodiscard]] std::string name() const {
        reference const text = in_words();
        char const* const utf8 = text ? PyUnicode_AsUTF8(text.get()) : nullptr;
        if (utf8 == nullptr) {
            PyErr_Clear();
            return "the callable";
        }
        return utf8;
    }

private:
    [[nodiscard]] reference in_words() const noexcept {
        if (method != nullptr) {
            return reference(
                PyUnicode_FromFormat("%.200s.%U()", Py_TYPE(object.ptr())->tp_name, method));
        }
        if (reference const name(PyObject_GetAttrString(object.ptr(), "__qualname__")); name) {
            return reference(PyUnicode_FromFormat("%S()", name.get()));
        }
        PyErr_Clear();
        return reference(PyObject_Repr(object.ptr()));
    }
};

/// object(arguments…) or object.method(arguments…), with the conversions of
/// boost::python::call<R>(), by vectorcall: it makes no tuple and no bound method, and reads no
/// format.
///
/// GIL:    held.
/// Throws: boost::python::error_already_set.
/// Source: PEP 590.
template <class R, class... Args>
R call_python(python_callee const& callee, Args const&... arguments) {
    std::tuple<boost::python::converter::arg_to_python<Args>...> const converted(arguments...);
    PyObject* const result = std::apply(
        [&](auto const&... each) {
            std::array<PyObject*, sizeof...(each) + 1> values{callee.object.ptr(), each.get()...};
            return callee.method != nullptr
                       ? PyObject_VectorcallMethod(callee.method, values.data(), values.size(),
                                                   nullptr)
                       : PyObject_Vectorcall(callee.object.ptr(), values.data() + 1,
                                             sizeof...(each) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                             nullptr);
        },
        converted);
    if constexpr (std::is_void_v<R>) {
        return result_from_python<R>(result);
    } else {
        boost::python::handle<> const kept(boost::python::xincref(result));
        try {
            return result_from_python<R>(result);
        } catch (boost::python::error_already_set const&) {
            name_result(kept.get(), [&] { return callee.name(); });
            throw;
        } catch (boost::numeric::bad_numeric_cast const& failure) {  // from Boost.Python
            PyErr_SetString(PyExc_OverflowError, failure.what());
            name_result(kept.get(), [&] { return callee.name(); });
            throw boost::python::error_already_set();
        }
    }
}

/// Calls `work` with the GIL held. `what` says in an error what was called.
///
/// GIL:    any on entry, the same on return and when it throws.
/// Throws: python_error for a Python error; no_python if the gate refuses the thread;
///         std::bad_alloc; what else `work` throws.
template <class Work>
auto in_python(char const* what, Work const& work) {
    gil_try_acquire gil;
    if (!gil) {
        throw no_python(std::string(what) + " cannot be called");
    }
    try {
        return rather_hang(work);
    } catch (boost::python::error_already_set const&) {
        throw python_error::fetch();
    }
}

}  // namespace handoff::detail
