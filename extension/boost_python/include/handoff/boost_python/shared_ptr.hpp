// drop_shared_ptr_anywhere<T>(): any thread may drop a shared_ptr that Python passed.
#pragma once

#include <handoff/gil/shared.hpp>

#include <boost/python/converter/from_python.hpp>
#include <boost/python/converter/pytype_function.hpp>
#include <boost/python/converter/registered.hpp>
#include <boost/python/converter/registry.hpp>
#include <boost/python/converter/rvalue_from_python_data.hpp>
#include <boost/python/def_visitor.hpp>
#include <boost/python/detail/unwrap_wrapper.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/refcount.hpp>
#include <boost/python/type_id.hpp>

#include <boost/mpl/for_each.hpp>
#include <boost/mpl/placeholders.hpp>
#include <boost/smart_ptr/shared_ptr.hpp>
#include <boost/type_traits/add_pointer.hpp>

#include <memory>
#include <new>
#include <utility>

namespace handoff {

namespace detail {

/// The deleter of a shared_ptr that Python passed: gives up its Python object.
struct python_owner {
    gil_shared<boost::python::handle<>> object;

    void operator()(void const* /*null*/) noexcept { object.reset(); }
};

/// For std::shared_ptr or boost::shared_ptr.
template <template <class> class SharedPtr, class T>
struct shared_ptr_converter {
    using pointer = SharedPtr<T>;

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
            SharedPtr<void> const owner(
                static_cast<void*>(nullptr),
                python_owner{gil_shared<py::handle<>>(py::handle<>(py::borrowed(source)))});
            new (room) pointer(owner, static_cast<T*>(data->convertible));
        }
        data->convertible = room;
    }

    /// Boost.Python's own conversion to Python.
    static inline boost::python::converter::to_python_function_t make_object = nullptr;

    /// What came from Python is returned as the original object.
    static PyObject* to_python(void const* converted) {
        auto const& value = *static_cast<pointer const*>(converted);
        using std::get_deleter;
        if (auto* const owner = get_deleter<python_owner>(value)) {
            PyObject* const its = owner->object.get().get();
            namespace converter = boost::python::converter;
            if (converter::get_lvalue_from_python(its, converter::registered<T>::converters) ==
                value.get()) {  // not a pointer to a part, which shares its owner
                return boost::python::incref(its);
            }
        }
        if (make_object == nullptr) {
            PyErr_Format(PyExc_TypeError,
                         "Python has no class for shared_ptr<%s>: drop_shared_ptr_anywhere() comes "
                         "after class_<T, shared_ptr<T>>",
                         boost::python::type_id<T>().name());
            return nullptr;
        }
        return make_object(converted);
    }

    static void add() {
        namespace converter = boost::python::converter;
        auto& known =
            const_cast<converter::registration&>(converter::registered<pointer>::converters);
        if (known.m_to_python == &to_python) {
            return;
        }
        // The last one that is registered is tried first.
        converter::registry::insert(&convertible, &construct, boost::python::type_id<pointer>(),
                                    &converter::expected_from_python_type_direct<T>::get_pytype);
        make_object = std::exchange(known.m_to_python, &to_python);
    }
};

}  // namespace detail

/// Any thread may drop the last copy of a std::shared_ptr<T> or boost::shared_ptr<T> that C++ code
/// took from Python, without the GIL and with any lock held. It then gives up its Python object as
/// gil_owned does.
/// Boost.Python's own conversion drops the object without the GIL, which corrupts Python.
///
///     class_<frame, std::shared_ptr<frame>>("Frame").def(drop_shared_ptr_anywhere());
///
///     class_<frame, std::shared_ptr<frame>>("Frame");                // the same
///     drop_shared_ptr_anywhere<frame>();
///
/// Passed back to Python, it is the original object, as with Boost.Python's own conversion. The
/// same holds for a pointer to a base class that was made from it.
///
/// GIL:      held. The last copy may be dropped with it or without.
/// REQUIRES: class_<T> has been made, in this module or another. Idempotent.
/// Source:   boost/python/converter/shared_ptr_from_python.hpp, whose deleter does not acquire.
template <class T>
void drop_shared_ptr_anywhere() {
    detail::shared_ptr_converter<std::shared_ptr, T>::add();
    detail::shared_ptr_converter<boost::shared_ptr, T>::add();
}

namespace detail {

class shared_ptr_visitor : public boost::python::def_visitor<shared_ptr_visitor> {
    friend class boost::python::def_visitor_access;

    struct add {
        template <class T>
        void operator()(T* /*which*/) const {
            drop_shared_ptr_anywhere<T>();
        }
    };

    /// For the class itself, the class that it wraps as boost::python::wrapper<T>, and its bases:
    /// C++ code may take a pointer to any of them.
    template <class Class>
    void visit(Class& /*made*/) const {
        // NOLINTNEXTLINE(readability-redundant-typename): Clang 14 asks for it
        using wrapped = typename Class::wrapped_type;
        add()(static_cast<wrapped*>(nullptr));
        add()(boost::python::detail::unwrap_wrapper(static_cast<wrapped*>(nullptr)));
        boost::mpl::for_each<typename Class::metadata::bases, boost::add_pointer<boost::mpl::_1>>(
            add());
    }
};

}  // namespace detail

/// The same as a visitor for class_<>::def(): for the class, what it wraps, and its bases<>.
[[nodiscard]] inline detail::shared_ptr_visitor drop_shared_ptr_anywhere() noexcept { return {}; }

}  // namespace handoff
