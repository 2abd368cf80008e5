// register_callback<R(Args...)>(): std::function and its like, from Python and to Python.
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

/// The callback in it; null where it is another callable.
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

    /// What came from Python goes back as the object that it was.
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

/// Has a Boost.Python function that takes a std::function<R(Args...)>, a boost::function or a
/// callback of that signature take a Python callable, or None, which is empty; and one that returns
/// it return a callable.
///
///     register_callback<void(double)>();
///     class_<feed>("Feed").def("subscribe", &feed::subscribe);  // takes a std::function
///
/// Python's callable becomes a callback with these options. What C++ returns is called by Python
/// with the GIL released, on any thread, and destroyed so; what came from Python is the same object
/// again.
///
/// GIL:    held. Called again in a module it changes the options. The registry is the process's: of
///         two modules that register a signature, the conversion of the last is asked first, for
///         functions of both.
/// Throws: error_already_set for what Boost.Python cannot register.
template <class Signature>
void register_callback(
    typename detail::function_converters<Signature>::options const& options = {}) {
    translate_python_errors();
    detail::function_converters<Signature>::add(options);
}

}  // namespace handoff
