// register_callback<R(Args...)>(): converts std::function and similar types from and to Python.
#pragma once

#include <handoff/boost_python/callback.hpp>
#include <handoff/boost_python/detail/released_function.hpp>
#include <handoff/boost_python/released_ptr.hpp>

#include <boost/python/converter/registry.hpp>
#include <boost/python/converter/rvalue_from_python_data.hpp>
#include <boost/python/default_call_policies.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/refcount.hpp>
#include <boost/python/type_id.hpp>

#include <boost/function.hpp>
#include <boost/mpl/vector.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <utility>

namespace handoff {

namespace detail {

/// The callback inside it; null if it contains another callable.
template <class Signature>
callback<Signature> const* callback_in(callback<Signature> const& f) {
    return &f;
}
template <class Signature, template <class> class Function>
callback<Signature> const* callback_in(Function<Signature> const& f) {
    return f.template target<callback<Signature>>();
}

template <class Function, class Signature>
struct function_converter;

template <class Function, class R, class... Args>
struct function_converter<Function, R(Args...)> {
    using signature = R(Args...);

    static inline callback_options<R> chosen;

    static void* convertible(PyObject* source) {
        return source == Py_None || PyCallable_Check(source) != 0 ? source : nullptr;
    }

    static void construct(PyObject* source,
                          boost::python::converter::rvalue_from_python_stage1_data* data) {
        namespace py = boost::python;
        void* const room =
            reinterpret_cast<py::converter::rvalue_from_python_storage<Function>*>(data)
                ->storage.bytes;
        if (source == Py_None) {
            new (room) Function();
        } else {
            py::object const callable{py::handle<>(py::borrowed(source))};
            new (room) Function(callback<signature>(callable, chosen));
        }
        data->convertible = room;
    }

    /// What came from Python is returned as the original object.
    static PyObject* to_python(void const* converted) {
        namespace py = boost::python;
        auto const& f = *static_cast<Function const*>(converted);
        if (!f) {
            return Py_NewRef(Py_None);
        }
        if (auto const* const from_python = callback_in<signature>(f)) {
            return py::incref(from_python->object().ptr());
        }
        std::shared_ptr<Function> const shared(new Function(f), delete_without_gil());
        auto const call = [shared](Args... arguments) -> R {
            return (*shared)(std::forward<Args>(arguments)...);
        };
        return py::incref(py::make_function(released_call<decltype(call)>{call},
                                            py::default_call_policies(),
                                            boost::mpl::vector<R, Args...>())
                              .ptr());
    }

    static void add(callback_options<R> const& options) {
        namespace py = boost::python;
        chosen = options;
        static constinit std::atomic<bool> is_registered = false;
        if (is_registered.exchange(true)) {
            return;
        }
        auto const type = py::type_id<Function>();
        py::converter::registry::insert(&convertible, &construct, type);
        auto const* const known = py::converter::registry::query(type);
        if (known == nullptr || known->m_to_python == nullptr) {
            py::converter::registry::insert(&to_python, type);
        }
    }
};

template <class Signature>
struct function_converters;

template <class R, class... Args>
struct function_converters<R(Args...)> {
    static void add(callback_options<R> const& options) {
        refuse_what_needs_the_gil<R, Args...>();
        function_converter<callback<R(Args...)>, R(Args...)>::add(options);
        function_converter<std::function<R(Args...)>, R(Args...)>::add(options);
        function_converter<boost::function<R(Args...)>, R(Args...)>::add(options);
    }
    using options = callback_options<R>;
};

}  // namespace detail

/// Makes Boost.Python functions accept a Python callable, or None (which is empty), for a
/// std::function<R(Args...)>, a boost::function or a callback of that signature. Functions that
/// return one of these return a callable to Python.
///
///     register_callback<void(double)>();
///     class_<feed>("Feed").def("subscribe", &feed::subscribe);  // takes a std::function
///
/// Python's callable becomes a callback with these options. Python may call what C++ returns on any
/// thread; it runs, and is destroyed, with the GIL released. What came from Python is returned as
/// the original object.
///
/// GIL:    held. A second call in a module changes the options. The registry belongs to the
///         process: if two modules register a signature, the later conversion is tried first, for
///         the functions of both.
/// Throws: error_already_set if Boost.Python cannot register it.
template <class Signature>
void register_callback(
    typename detail::function_converters<Signature>::options const& options = {}) {
    translate_python_errors();
    detail::function_converters<Signature>::add(options);
}

}  // namespace handoff
