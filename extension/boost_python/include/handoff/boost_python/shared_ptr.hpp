// drop_shared_ptr_anywhere<T>(): a std::shared_ptr that Python passed may be dropped without the
// GIL.
#pragma once

#include <handoff/gil/owned.hpp>

#include <boost/python/converter/from_python.hpp>
#include <boost/python/converter/pytype_function.hpp>
#include <boost/python/converter/registered.hpp>
#include <boost/python/converter/registry.hpp>
#include <boost/python/converter/rvalue_from_python_data.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/refcount.hpp>
#include <boost/python/type_id.hpp>

#include <memory>
#include <new>
#include <utility>

namespace handoff {

namespace detail {

/// The deleter of a shared_ptr that Python passed: drops its Python object, under the GIL.
struct python_owner {
    gil_owned<boost::python::handle<>> object;

    void operator()(void const* /*nothing of ours*/) noexcept { object.reset(); }
};

template <class T>
struct shared_ptr_converter {
    using pointer = std::shared_ptr<T>;

    static void* convertible(PyObject* source) {
        namespace converter = boost::python::converter;
        return source == Py_None ? source
                                 : converter::get_lvalue_from_python(
                                       source, converter::registered<T>::converters);
    }

    static void construct(PyObject* source,
                          boost::python::converter::rvalue_from_python_stage1_data* data) {
        namespace py = boost::python;
        void* const room =
            reinterpret_cast<py::converter::rvalue_from_python_storage<pointer>*>(data)
                ->storage.bytes;
        if (data->convertible == source) {  // None
            new (room) pointer();
        } else {
            std::shared_ptr<void> const owner(
                nullptr, python_owner{gil_owned<py::handle<>>(py::handle<>(py::borrowed(source)))});
            new (room) pointer(owner, static_cast<T*>(data->convertible));
        }
        data->convertible = room;
    }

    /// Boost.Python's own conversion to Python.
    static inline boost::python::converter::to_python_function_t make_object = nullptr;

    /// What came from Python goes back as the object that it was.
    static PyObject* to_python(void const* converted) {
        auto const& value = *static_cast<pointer const*>(converted);
        if (auto* const owner = std::get_deleter<python_owner>(value)) {
            return boost::python::incref(owner->object.get().get());
        }
        if (make_object == nullptr) {
            PyErr_Format(PyExc_TypeError,
                         "Python has no class for std::shared_ptr<%s>: drop_shared_ptr_anywhere() "
                         "comes after class_<T, std::shared_ptr<T>>",
                         boost::python::type_id<T>().name());
            return nullptr;
        }
        return make_object(converted);
    }
};

}  // namespace detail

/// Has a std::shared_ptr<T> that C++ code takes from Python drop its Python object under the GIL,
/// on whatever thread its last copy goes. Boost.Python's own drops it without: that corrupts Python
/// where the thread does not hold the GIL.
///
///     class_<frame, std::shared_ptr<frame>>("Frame");
///     drop_shared_ptr_anywhere<frame>();
///
/// Passed back to Python, it is the object that it was, as with Boost.Python's own.
///
/// GIL:      held. The last copy may be dropped with it or without; who does not hold it waits for
///           it there. See gil_owned.
/// REQUIRES: class_<T, std::shared_ptr<T>> has been made, in this module or another. Idempotent.
/// Source:   boost/python/converter/shared_ptr_from_python.hpp, whose deleter does not acquire.
template <class T>
void drop_shared_ptr_anywhere() {
    namespace converter = boost::python::converter;
    using ours = detail::shared_ptr_converter<T>;
    auto& known =
        const_cast<converter::registration&>(converter::registered<std::shared_ptr<T>>::converters);
    if (known.m_to_python == &ours::to_python) {
        return;
    }
    // The last that is registered is asked first.
    converter::registry::insert(&ours::convertible, &ours::construct,
                                boost::python::type_id<std::shared_ptr<T>>(),
                                &converter::expected_from_python_type_direct<T>::get_pytype);
    ours::make_object = std::exchange(known.m_to_python, &ours::to_python);
}

}  // namespace handoff
