// fast_callable: the Python object that calls C++ overloads directly, or through Boost.Python.
#pragma once

#include <handoff/boost_python/detail/held_place.hpp>
#include <handoff/gil/detail/error_aside.hpp>

#include <boost/python/args_fwd.hpp>
#include <boost/python/detail/preprocessor.hpp>
#include <boost/python/detail/signature.hpp>
#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>
#include <boost/python/object/class_detail.hpp>
#include <boost/python/object/function.hpp>
#include <boost/python/object/function_object.hpp>
#include <boost/python/object/py_function.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace handoff::detail {

/// A C++ function with its conversions. A fast_callable calls it directly; Boost.Python calls it
/// like any other function.
struct fast_overload {
    explicit fast_overload(std::size_t parameters) : arity(parameters) {}
    fast_overload(fast_overload const&) = delete;
    fast_overload& operator=(fast_overload const&) = delete;
    // One base for all; for each signature a class derives from it.
    [[gnu::noinline]] virtual ~fast_overload() = default;

    /// Returned if the arguments do not match and the function was not called.
    [[nodiscard]] static PyObject* no_match() noexcept { return &unmatched; }

    /// Tuple: of the arguments; null if none has been made yet.
    virtual PyObject* call(PyObject* const* arguments, PyObject* tuple) = 0;

    [[nodiscard]] virtual boost::python::detail::py_func_sig_info signature() const = 0;

    /// Like call(), with fewer arguments than there are parameters.
    [[gnu::noinline]] PyObject* call_with_defaults(PyObject* const* arguments, std::size_t given) {
        std::array<PyObject*, BOOST_PYTHON_MAX_ARITY> all{};
        std::copy_n(arguments, given, all.begin());
        for (std::size_t index = given; index < arity; ++index) {
            all[index] = defaults[index].get();
            if (all[index] == nullptr) {
                return no_match();
            }
        }
        return call(all.data(), nullptr);
    }

    std::size_t arity;
    std::vector<boost::python::handle<>> defaults;  ///< Of each parameter; empty: it has none.
    std::shared_ptr<fast_overload> older;

private:
    static inline PyObject unmatched{};
};

/// Like boost::python::detail::caller, for any signature.
struct caller_of_overload {
    std::shared_ptr<fast_overload> overload;

    PyObject* operator()(PyObject* tuple, PyObject* /*keywords*/) const {
        auto* const result =
            overload->call(reinterpret_cast<PyTupleObject*>(tuple)->ob_item, tuple);
        return result == fast_overload::no_match() ? nullptr : result;
    }
    [[nodiscard]] unsigned min_arity() const { return static_cast<unsigned>(overload->arity); }
    [[nodiscard]] boost::python::detail::py_func_sig_info signature() const {
        return overload->signature();
    }
};

/// A new reference; throws error_already_set.
inline PyObject* tuple_of(PyObject* const* arguments, std::size_t count) {
    boost::python::handle<> tuple(PyTuple_New(static_cast<Py_ssize_t>(count)));
    for (std::size_t index = 0; index < count; ++index) {
        PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(index), Py_NewRef(arguments[index]));
    }
    return tuple.release();
}

/// Replaces a Boost.Python function in a namespace. It owns that function, and acts like it.
struct fast_callable {
    PyObject ob_base;
    vectorcallfunc vectorcall;
    PyObject* plain;  ///< A Boost.Python function, with all overloads.
    PyObject* absorbed;  ///< The overloads that its plain function took over; only compared.
    PyObject* names;  ///< The dictionary that has it; null once another fast one has replaced it.
    std::shared_ptr<fast_overload> newest;

    static fast_callable& of(PyObject* self) { return *reinterpret_cast<fast_callable*>(self); }
};

/// Keeps objects while it lives, as the tuple of arguments does in Boost.Python's call.
class kept_arguments {
public:
    kept_arguments(PyObject* const* arguments, std::size_t count) noexcept
        : arguments_(arguments), count_(count) {
        for (std::size_t index = 0; index < count; ++index) {
            Py_INCREF(arguments[index]);
        }
    }
    ~kept_arguments() {
        for (std::size_t index = 0; index < count_; ++index) {
            Py_DECREF(arguments_[index]);
        }
    }
    kept_arguments(kept_arguments const&) = delete;
    kept_arguments& operator=(kept_arguments const&) = delete;

private:
    PyObject* const* arguments_;
    std::size_t count_;
};

/// The result of the overload that matches, tried from the newest on, as in Boost.Python; or
/// no_match(). REQUIRES: the callable and the arguments are kept.
inline PyObject* call_overloads(fast_callable const& callable, PyObject* const* arguments,
                                std::size_t given) {
    for (fast_overload* each = callable.newest.get(); each != nullptr; each = each->older.get()) {
        bool const is_whole = each->arity == given;
        if (!is_whole && (given > each->arity || each->defaults.empty())) {
            continue;
        }
        PyObject* result = nullptr;
        try {
            result = is_whole ? each->call(arguments, nullptr)
                              : each->call_with_defaults(arguments, given);
        } catch (...) {
            boost::python::handle_exception();
            return nullptr;
        }
        if (result != fast_overload::no_match()) [[likely]] {
            if (result == nullptr && PyErr_Occurred() == nullptr) {
                PyErr_SetString(PyExc_SystemError,
                                "a C++ function or its call policies returned NULL, and no "
                                "exception was set");
            }
            return result;
        }
        if (PyErr_Occurred() != nullptr) {
            return nullptr;
        }
    }
    return fast_overload::no_match();
}

inline PyObject* call_fast(PyObject* self, PyObject* const* arguments, std::size_t flags,
                           PyObject* keywords) {
    fast_callable const& callable = fast_callable::of(self);
    auto const given = static_cast<std::size_t>(PyVectorcall_NARGS(flags));
    // Kept until the plain function has been called as well, because a conversion may run Python
    // code.
    kept_arguments const kept_self(&self, 1);
    kept_arguments const kept(arguments, given);
    if (keywords == nullptr) {
        if (Py_EnterRecursiveCall(" while calling a Python object") != 0) {
            return nullptr;
        }
        PyObject* const result = call_overloads(callable, arguments, given);
        Py_LeaveRecursiveCall();
        if (result != fast_overload::no_match()) [[likely]] {
            return result;
        }
    }
    return PyObject_Vectorcall(callable.plain, arguments, flags, keywords);
}

/// A plain .def() of the same name has just replaced a fast_callable, which it did not recognise as
/// a function. Gives the new function the overloads that it would have had.
///
/// It is new if it has the name and the namespace of the old one, and no docstring yet:
/// Boost.Python sets the docstring after it has set the attribute. Source:
/// function::add_to_namespace() in Boost.Python's object/function.cpp.
inline void keep_overloads(fast_callable const& replaced) {
    namespace py = boost::python;
    using py::objects::function;
    auto const* const old = static_cast<function const*>(replaced.plain);
    PyObject* const found = PyDict_GetItemWithError(replaced.names, old->name().ptr());
    if (found == nullptr || found == replaced.plain || found == replaced.absorbed ||
        Py_TYPE(found) != Py_TYPE(replaced.plain)) {
        return;
    }
    auto const* const now = static_cast<function const*>(found);
    if (now->doc().ptr() != Py_None || now->name() != old->name() ||
        now->get_namespace() != old->get_namespace()) {
        return;
    }
    py::object both(py::handle<>(PyModule_NewObject(now->get_namespace().ptr())));
    py::object const function_of_name{py::handle<>(py::borrowed(found))};
    char const* const name = py::expect_non_null(PyUnicode_AsUTF8(now->name().ptr()));
    both.attr(name) = py::object(py::handle<>(py::borrowed(replaced.plain)));
    function::add_to_namespace(both, name, function_of_name);
}

inline int traverse_fast(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(fast_callable::of(self).plain);
    Py_VISIT(fast_callable::of(self).names);
    return 0;
}

/// The class or the module is garbage: no function of it will be replaced any more.
inline int clear_fast(PyObject* self) {
    Py_CLEAR(fast_callable::of(self).names);
    return 0;
}

inline void destroy_fast(PyObject* self) {
    PyObject_GC_UnTrack(self);
    fast_callable& callable = fast_callable::of(self);
    if (callable.names != nullptr) {
        error_aside const set_before;
        try {
            keep_overloads(callable);
        } catch (...) {
            boost::python::handle_exception();
            PyErr_WriteUnraisable(callable.plain);
        }
        Py_CLEAR(callable.names);
    }
    Py_CLEAR(callable.plain);
    std::destroy_at(&callable.newest);
    Py_TYPE(self)->tp_free(self);
}

inline PyObject* bind_fast(PyObject* self, PyObject* instance, PyObject* /*type*/) {
    if (instance == nullptr || instance == Py_None) {
        return Py_NewRef(self);
    }
    return PyMethod_New(self, instance);
}

inline PyObject* get_attribute_of_plain(PyObject* self, PyObject* name) {
    return PyObject_GetAttr(fast_callable::of(self).plain, name);
}

inline int set_attribute_of_plain(PyObject* self, PyObject* name, PyObject* value) {
    return PyObject_SetAttr(fast_callable::of(self).plain, name, value);
}

/// Attributes that pydoc and inspect read without tp_getattro.
inline PyObject* get_named_attribute_of_plain(PyObject* self, void* name) {
    return PyObject_GetAttrString(fast_callable::of(self).plain, static_cast<char const*>(name));
}

// A static type is immutable, which CPython's attribute caches need.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
inline PyTypeObject fast_callable_type{};

/// Called before the first fast_callable is made.
inline void make_types_ready() {
    if (class_metatype != nullptr) {
        return;
    }
    static char name[] = "__name__";
    static char doc[] = "__doc__";
    static char module[] = "__module__";
    constexpr auto shown = [](char* of) {
        return PyGetSetDef{.name = of,
                           .get = &get_named_attribute_of_plain,
                           .set = nullptr,
                           .doc = nullptr,
                           .closure = of};
    };
    static PyGetSetDef attributes[] = {shown(name), shown(doc), shown(module), {}};
    PyTypeObject& type = fast_callable_type;
    Py_SET_REFCNT(reinterpret_cast<PyObject*>(&type), 1);
    type.tp_name = "Boost.Python.function";  // error messages show this name
    type.tp_basicsize = sizeof(fast_callable);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                    Py_TPFLAGS_METHOD_DESCRIPTOR;
    type.tp_traverse = &traverse_fast;
    type.tp_clear = &clear_fast;
    type.tp_vectorcall_offset = offsetof(fast_callable, vectorcall);
    type.tp_call = &PyVectorcall_Call;
    type.tp_dealloc = &destroy_fast;
    type.tp_getattro = &get_attribute_of_plain;
    type.tp_getset = attributes;
    type.tp_setattro = &set_attribute_of_plain;
    type.tp_descr_get = &bind_fast;
    if (PyType_Ready(&type) != 0) {
        throw boost::python::error_already_set();
    }
    class_metatype = boost::python::objects::class_metatype().get();
}

[[nodiscard]] inline bool is_fast(PyObject* object) {
    return object != nullptr && Py_TYPE(object) == &fast_callable_type;
}

/// The dictionary of a class or of a module.
inline boost::python::object names_in(PyObject* space) {
    namespace py = boost::python;
    if (PyType_Check(space)) {
        return py::object(
            py::handle<>(py::borrowed(reinterpret_cast<PyTypeObject*>(space)->tp_dict)));
    }
    return py::object(py::handle<>(PyObject_GetAttrString(space, "__dict__")));
}

/// A function that fast() has prepared, to be put into a class or a module. It is not a template,
/// so all signatures share this code.
class fast_definition {
public:
    /// Takes over the overload.
    fast_definition(fast_overload* overload, boost::python::detail::keyword_range keywords);
    /// For a function that Boost.Python still calls.
    explicit fast_definition(boost::python::object plain) : plain_(std::move(plain)) {}

    [[nodiscard]] boost::python::object in_no_namespace() const {
        return overload_ == nullptr ? plain_ : callable(plain_, nullptr, nullptr);
    }

    /// Space: a class or a module. Doc: may be null.
    void add_to(boost::python::object const& space, char const* name, char const* doc) const;

private:
    [[nodiscard]] boost::python::object callable(boost::python::object const& plain,
                                                 PyObject* names, PyObject* absorbed) const;

    boost::python::object plain_;  ///< a Boost.Python function
    std::shared_ptr<fast_overload> overload_;
};

inline fast_definition::fast_definition(fast_overload* overload,
                                        boost::python::detail::keyword_range keywords)
    : overload_(overload) {
    bool const some = std::any_of(keywords.first, keywords.second, [](auto const& each) {
        return static_cast<bool>(each.default_value);
    });
    if (some) {  // the keywords are those of the last parameters
        auto& defaults = overload->defaults;
        defaults.resize(overload->arity);
        std::transform(keywords.first, keywords.second,
                       defaults.end() - (keywords.second - keywords.first),
                       [](auto const& each) { return each.default_value; });
    }
    plain_ = boost::python::objects::function_object(
        boost::python::objects::py_function(caller_of_overload{overload_}), keywords);
}

inline void fast_definition::add_to(boost::python::object const& space, char const* name,
                                    char const* doc) const {
    namespace py = boost::python;
    if (overload_ == nullptr) {
        py::objects::add_to_namespace(space, name, plain_, doc);
        return;
    }
    py::object const names = names_in(space.ptr());
    py::object target = space;
    py::handle<> const key(PyUnicode_InternFromString(name));
    py::handle<> const before(
        py::allow_null(py::xincref(PyDict_GetItemWithError(names.ptr(), key.get()))));
    if (is_fast(before.get())) {
        fast_callable& older = fast_callable::of(before.get());
        Py_CLEAR(older.names);  // its overloads are kept here
        overload_->older = older.newest;
        target.attr(name) = py::object(py::handle<>(py::borrowed(older.plain)));
    }
    py::objects::add_to_namespace(space, name, plain_, doc);
    py::object const plain(
        py::handle<>(py::borrowed(py::expect_non_null(PyDict_GetItem(names.ptr(), key.get())))));
    target.attr(name) = callable(plain, names.ptr(), before.get());
}

inline boost::python::object fast_definition::callable(boost::python::object const& plain,
                                                       PyObject* names, PyObject* absorbed) const {
    make_types_ready();
    PyObject* const made = fast_callable_type.tp_alloc(&fast_callable_type, 0);
    if (made == nullptr) {
        throw boost::python::error_already_set();
    }
    fast_callable& callable = fast_callable::of(made);
    callable.vectorcall = &call_fast;
    callable.plain = boost::python::incref(plain.ptr());
    callable.absorbed = absorbed;
    callable.names = Py_XNewRef(names);
    std::construct_at(&callable.newest, overload_);
    return boost::python::object(boost::python::handle<>(made));
}

}  // namespace handoff::detail
