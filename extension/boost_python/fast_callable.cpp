// fast_callable: its type, its call, and how it takes the place of a Boost.Python function.
#include <handoff/boost_python/detail/fast_callable.hpp>
#include <handoff/boost_python/detail/held_place.hpp>
#include <handoff/gil/raised.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/object/add_to_namespace.hpp>
#include <boost/python/object/class_detail.hpp>
#include <boost/python/object/function_object.hpp>
#include <boost/python/object/py_function.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace handoff::detail {

namespace {

namespace py = boost::python;

/// Like boost::python::detail::caller, for any signature.
struct caller_of_overload {
    std::shared_ptr<fast_overload> overload;

    PyObject* operator()(PyObject* tuple, PyObject* /*keywords*/) const {
        auto* const result =
            overload->call(reinterpret_cast<PyTupleObject*>(tuple)->ob_item, tuple);
        return result == fast_overload::no_match() ? nullptr : result;
    }
    [[nodiscard]] unsigned min_arity() const { return static_cast<unsigned>(overload->arity); }
    [[nodiscard]] py::detail::py_func_sig_info signature() const { return overload->signature(); }
};

/// Replaces a Boost.Python function in a namespace. It owns that function, and acts like it.
struct fast_callable {
    PyObject ob_base;
    vectorcallfunc vectorcall;
    PyObject* plain;  ///< A Boost.Python function, with all overloads.
    std::shared_ptr<fast_overload> newest;

    static fast_callable& of(PyObject* self) { return *reinterpret_cast<fast_callable*>(self); }
};

// Static types are immutable, which CPython's caches of attributes want.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
PyTypeObject fast_callable_type{};

/// Of another module as well, which has this type for itself.
[[nodiscard]] bool is_fast(PyObject* object) {
    return Py_TYPE(object)->tp_descr_get == fast_callable_type.tp_descr_get &&
           PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_HAVE_VECTORCALL) != 0;
}

/// Counts a call within calls, as CPython counts those of its own functions in C. One that is not
/// allowed is left to Boost.Python's own call, which raises.
class counted_call {
public:
#if PY_VERSION_HEX >= 0x030E0000  // which looks at the stack
    [[nodiscard]] bool is_allowed() const {
        bool const is_too_deep = Py_EnterRecursiveCall("") != 0;
        if (is_too_deep) {
            PyErr_Clear();
        }
        return !is_too_deep;
    }
    [[nodiscard]] bool has_raised() const { return PyErr_Occurred() != nullptr; }
#else
    counted_call() { --left(); }
    ~counted_call() { ++left(); }
    counted_call(counted_call const&) = delete;
    counted_call& operator=(counted_call const&) = delete;

    [[nodiscard]] bool is_allowed() const { return left() >= 0; }

#if PY_VERSION_HEX >= 0x030C0000
    [[nodiscard]] bool has_raised() const { return state_->current_exception != nullptr; }

private:
    [[nodiscard]] int& left() const { return state_->c_recursion_remaining; }
#else
    [[nodiscard]] bool has_raised() const { return state_->curexc_type != nullptr; }

private:
    [[nodiscard]] int& left() const { return state_->recursion_remaining; }
#endif

    PyThreadState* state_ = PyThreadState_Get();
#endif
};

/// The result of the overload that matches, the newest first, as by Boost.Python; or no_match().
PyObject* call_overloads(fast_overload* newest, PyObject* const* arguments, std::size_t given) {
    bool has_returned_nothing = false;
    for (fast_overload* each = newest; each != nullptr; each = each->older.get()) {
        PyObject* result = nullptr;
        try {
            result = each->arity == given ? each->call(arguments, nullptr)
                                          : each->call_with_defaults(arguments, given);
        } catch (...) {
            py::handle_exception();
            return nullptr;
        }
        if (result != fast_overload::no_match() && result != nullptr) [[likely]] {
            return result;
        }
        if (PyErr_Occurred() != nullptr) {
            return nullptr;
        }
        has_returned_nothing = has_returned_nothing || result == nullptr;
    }
    if (has_returned_nothing) {  // it is not called a second time, by Boost.Python
        PyErr_SetString(PyExc_SystemError,
                        "a C++ function's result was converted to NULL, and no exception was set");
        return nullptr;
    }
    return fast_overload::no_match();
}

/// Raises what CPython raises after such a call.
[[gnu::cold, gnu::noinline]] PyObject* refuse_result_beside_error(PyObject* called,
                                                                  PyObject* result) {
    py::handle<> const cause(take_raised_exception());
    Py_DECREF(result);
    PyErr_Format(PyExc_SystemError, "%R returned a result with an exception set", called);
    py::handle<> const error(take_raised_exception());
    PyException_SetCause(error.get(), Py_NewRef(cause.get()));
    PyException_SetContext(error.get(), Py_NewRef(cause.get()));
    PyErr_SetObject(PyExceptionInstance_Class(error.get()), error.get());
    return nullptr;
}

/// Whether a call comes from an instruction of Python, which keeps the arguments until the call's
/// end, and then looks at the result; or from a function in C that does so, as
/// PyObject_CallOneArg(). They pass this flag. A bound method, a partial() and `f(*arguments)` do
/// not. Source: CPython's Python/bytecodes.c, CALL; Objects/call.c and classobject.c.
bool keeps_arguments(std::size_t flags) { return (flags & PY_VECTORCALL_ARGUMENTS_OFFSET) != 0; }

PyObject* call_fast(PyObject* self, PyObject* const* arguments, std::size_t flags,
                    PyObject* keywords) {
    auto const given = static_cast<std::size_t>(PyVectorcall_NARGS(flags));
    if (keywords != nullptr || given > fast_overload::most_parameters) [[unlikely]] {
        py::handle<> const plain(py::borrowed(fast_callable::of(self).plain));
        return PyObject_Vectorcall(plain.get(), arguments, flags, keywords);
    }
    // What is called, or a converter, may run Python code that drops the bound method or the
    // partial() that made this call, and with it its arguments.
    Py_INCREF(self);
    bool const are_kept = keeps_arguments(flags);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only what is given is set
    std::array<PyObject*, fast_overload::most_parameters> copies;
    if (!are_kept) {
        for (std::size_t index = 0; index < given; ++index) {
            copies[index] = Py_NewRef(arguments[index]);
        }
        arguments = copies.data();
    }
    PyObject* result = fast_overload::no_match();
    bool has_raised = false;
    {
        counted_call const call{};
        if (call.is_allowed()) [[likely]] {
            result = call_overloads(fast_callable::of(self).newest.get(), arguments, given);
            has_raised = !are_kept && call.has_raised();
        }
    }
    if (result == fast_overload::no_match()) [[unlikely]] {
        result = PyObject_Vectorcall(fast_callable::of(self).plain, arguments, given, nullptr);
    } else if (has_raised && result != nullptr) [[unlikely]] {
        result = refuse_result_beside_error(self, result);
    }
    if (!are_kept) {
        for (std::size_t index = 0; index < given; ++index) {
            Py_DECREF(copies[index]);
        }
    }
    Py_DECREF(self);
    return result;
}

void destroy_fast(PyObject* self) {
    Py_DECREF(fast_callable::of(self).plain);
    std::destroy_at(&fast_callable::of(self).newest);
    PyObject_Free(self);
}

PyObject* get_of_plain(PyObject* self, void* attribute) {
    auto const& of_plain = *static_cast<PyGetSetDef const*>(attribute);
    return of_plain.get(fast_callable::of(self).plain, of_plain.closure);
}
int set_of_plain(PyObject* self, PyObject* value, void* attribute) {
    auto const& of_plain = *static_cast<PyGetSetDef const*>(attribute);
    return of_plain.set(fast_callable::of(self).plain, value, of_plain.closure);
}

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
PyTypeObject names_type{};

/// `names[name]`, which is how Boost.Python looks for the function that a new one is an overload
/// of. It finds a function of its own. Python's lookups do not come here: they read the
/// dictionary's memory, and find the fast_callable.
PyObject* find_plain(PyObject* names, PyObject* name) {
    PyObject* const found = PyDict_Type.tp_as_mapping->mp_subscript(names, name);
    if (found == nullptr || !is_fast(found)) {
        return found;
    }
    PyObject* const plain = Py_NewRef(fast_callable::of(found).plain);
    Py_DECREF(found);
    return plain;
}

/// Before the first fast_callable. Function: the type of Boost.Python's.
void make_types_ready(PyTypeObject const& function) {
    if (PyType_HasFeature(&names_type, Py_TPFLAGS_READY) != 0) {
        return;
    }
    static std::array<PyGetSetDef, 16> attributes{};  // the last one ends them
    PyGetSetDef* of_plain = function.tp_getset;
    for (auto* each = attributes.data(); each != &attributes.back() && of_plain->name != nullptr;
         ++each, ++of_plain) {
        *each = {.name = of_plain->name,
                 .get = &get_of_plain,
                 .set = of_plain->set == nullptr ? nullptr : &set_of_plain,
                 .doc = of_plain->doc,
                 .closure = of_plain};
    }
    PyTypeObject& type = fast_callable_type;
    type.tp_name = function.tp_name;
    type.tp_basicsize = sizeof(fast_callable);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR;
    type.tp_vectorcall_offset = offsetof(fast_callable, vectorcall);
    type.tp_call = &PyVectorcall_Call;
    type.tp_dealloc = &destroy_fast;
    type.tp_getset = attributes.data();
    type.tp_descr_get = function.tp_descr_get;

    static PyMappingMethods mapping{};
    mapping.mp_subscript = &find_plain;
    names_type.tp_name = PyDict_Type.tp_name;
    names_type.tp_base = &PyDict_Type;
    names_type.tp_flags = Py_TPFLAGS_DEFAULT;
    names_type.tp_as_mapping = &mapping;
    for (PyTypeObject* each : {&fast_callable_type, &names_type}) {
        Py_SET_REFCNT(reinterpret_cast<PyObject*>(each), 1);
        if (PyType_Ready(each) != 0) {
            throw py::error_already_set();
        }
    }
    class_metatype = py::objects::class_metatype().get();
}

}  // namespace

PyObject* fast_overload::call_with_defaults(PyObject* const* arguments, std::size_t given) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only the first are set, and read
    std::array<PyObject*, most_parameters> all;
    for (std::size_t index = 0; index < arity; ++index) {
        all[index] = index < given ? arguments[index] : defaults[index].get();
        if (all[index] == nullptr) {
            return no_match();
        }
    }
    return given < arity ? call(all.data(), nullptr) : no_match();
}

PyObject* tuple_of(PyObject* const* arguments, std::size_t count) {
    py::handle<> tuple(PyTuple_New(static_cast<Py_ssize_t>(count)));
    for (std::size_t index = 0; index < count; ++index) {
        PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(index), Py_NewRef(arguments[index]));
    }
    return tuple.release();
}

py::object names_in(py::object const& space) {
    if (!PyType_Check(space.ptr())) {
        return space.attr("__dict__");
    }
    auto* const names = reinterpret_cast<PyTypeObject*>(space.ptr())->tp_dict;
    return py::object(py::handle<>(py::borrowed(names)));
}

py::object found_in(py::object const& names, char const* name) {
    PyObject* const found =
        PyDict_Check(names.ptr()) ? PyDict_GetItemString(names.ptr(), name) : nullptr;
    return found == nullptr ? py::object() : py::object(py::handle<>(py::borrowed(found)));
}

fast_definition::fast_definition(fast_overload* overload, py::detail::keyword_range keywords)
    : overload_(overload) {
    // The keywords are those of the last parameters.
    std::transform(keywords.first, keywords.second,
                   overload->defaults.end() - (keywords.second - keywords.first),
                   [](auto const& each) { return each.default_value; });
    plain_ = py::objects::function_object(py::objects::py_function(caller_of_overload{overload_}),
                                          keywords);
}

py::object fast_definition::callable() const {
    make_types_ready(*Py_TYPE(plain_.ptr()));
    auto* const made = PyObject_New(fast_callable, &fast_callable_type);
    if (made == nullptr) {
        throw py::error_already_set();
    }
    made->vectorcall = &call_fast;
    made->plain = py::incref(plain_.ptr());
    std::construct_at(&made->newest, overload_);
    return py::object(py::handle<>(reinterpret_cast<PyObject*>(made)));
}

void fast_definition::add_to(py::object const& space, char const* name, char const* doc) const {
    py::object target = space;
    py::object const fast = callable();
    py::object const names = names_in(space);
    py::object const before = found_in(names, name);
    if (Py_TYPE(before.ptr()) == &fast_callable_type) {
        overload_->older = fast_callable::of(before.ptr()).newest;
    }
    py::objects::add_to_namespace(space, name, plain_, doc);
    if (PyDict_CheckExact(names.ptr())) {
        Py_SET_TYPE(names.ptr(), &names_type);
    }
    target.attr(name) = fast;
    if (py::object(names[name]).ptr() != plain_.ptr()) {
        target.attr(name) = plain_;  // or a later overload would replace all
    }
}

}  // namespace handoff::detail
