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
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace {

namespace py = boost::python;

constexpr std::size_t few_parameters = 8;  // as most functions have

/// Of a call that no fast overload took, while Boost.Python's function goes on with it: that passes
/// over what has been tried, so that nothing is converted or called twice.
class tried_call {
public:
    tried_call(fast_overload const* newest, PyObject* const* arguments, std::size_t given)
        : next_(newest), arguments_(arguments, given), outer_(std::exchange(current, this)) {}
    ~tried_call() { current = outer_; }
    tried_call(tried_call const&) = delete;
    tried_call& operator=(tried_call const&) = delete;

    /// True once for each overload. Given: the arguments, maybe with default values.
    static bool includes(fast_overload const& overload, std::span<PyObject* const> given) {
        if (current == nullptr || given.size() < current->arguments_.size() ||
            !std::ranges::equal(given.first(current->arguments_.size()), current->arguments_)) {
            return false;
        }
        for (auto const* each = current->next_; each != nullptr; each = each->older.get()) {
            if (each == &overload) {
                current->next_ = each->older.get();
                return true;
            }
        }
        return false;
    }

private:
    fast_overload const* next_;
    std::span<PyObject* const> arguments_;
    tried_call* outer_;

    static constinit thread_local tried_call* current;
};
constinit thread_local tried_call* tried_call::current = nullptr;

/// Like boost::python::detail::caller, for any signature.
struct caller_of_overload {
    std::shared_ptr<fast_overload> overload;

    PyObject* operator()(PyObject* tuple, PyObject* /*keywords*/) const {
        auto* const* const arguments = reinterpret_cast<PyTupleObject*>(tuple)->ob_item;
        if (tried_call::includes(*overload,
                                 {arguments, static_cast<std::size_t>(PyTuple_GET_SIZE(tuple))})) {
            return nullptr;
        }
        auto* const result = overload->call(arguments, tuple);
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

/// The result, or no_match().
PyObject* call_overload(fast_overload& overload, PyObject* const* arguments, std::size_t given) {
    return overload.arity == given ? overload.call(arguments, nullptr)
                                   : overload.call_with_defaults(arguments, given);
}

bool has_no_result(PyObject* result) {
    return result == nullptr || result == fast_overload::no_match();
}

/// Goes on after the newest overload with the older ones. Result: what the newest returned.
/// Returns: what the first overload that matches returns, or no_match(). An overload that returns
/// null without an error does not match, as for Boost.Python.
[[gnu::noinline]] PyObject* call_older(fast_overload const& newest, PyObject* result,
                                       PyObject* const* arguments, std::size_t given) {
    auto* each = newest.older.get();
    while (has_no_result(result)) {
        if (PyErr_Occurred() != nullptr) {
            return nullptr;
        }
        if (each == nullptr) {
            return fast_overload::no_match();
        }
        result = call_overload(*each, arguments, given);
        each = each->older.get();
    }
    return result;
}

/// The result of the overload that matches, or no_match(). Null: a C++ exception has ended it.
[[gnu::always_inline]] inline PyObject* call_overloads(fast_overload& newest,
                                                       PyObject* const* arguments,
                                                       std::size_t given) {
    try {
        auto* const result = call_overload(newest, arguments, given);
        if (has_no_result(result)) [[unlikely]] {
            return call_older(newest, result, arguments, given);
        }
        return result;
    } catch (...) {
        py::handle_exception();
        return nullptr;
    }
}

/// CPython counts a call within calls, and refuses it where the stack would end. It is not asked
/// while so few calls are in progress, in all threads together, that they cannot fill a stack.
#ifdef Py_GIL_DISABLED
constexpr int few_calls = -1;
constexpr int calls_in_progress = 0;
class call_in_progress {};
#else
constexpr int few_calls = 20;
// Guarded by the GIL. A thread that ends within a call leaves it too high: then CPython is asked.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
constinit int calls_in_progress = 0;

class call_in_progress {
public:
    call_in_progress() { ++calls_in_progress; }
    ~call_in_progress() { --calls_in_progress; }
    call_in_progress(call_in_progress const&) = delete;
    call_in_progress& operator=(call_in_progress const&) = delete;
};
#endif

/// As call_overloads(). A call that CPython refuses is left to Boost.Python's own, which raises.
[[gnu::cold, gnu::noinline]] PyObject* call_counted(fast_callable const& called,
                                                    PyObject* const* arguments, std::size_t given) {
    if (Py_EnterRecursiveCall("") != 0) {
        PyErr_Clear();
        return PyObject_Vectorcall(called.plain, arguments, given, nullptr);
    }
    auto* const result = call_overloads(*called.newest, arguments, given);
    Py_LeaveRecursiveCall();
    return result;
}

[[gnu::noinline]] PyObject* call_plain_after(fast_callable const& called,
                                             PyObject* const* arguments, std::size_t given) {
    tried_call const tried(called.newest.get(), arguments, given);
    return PyObject_Vectorcall(called.plain, arguments, given, nullptr);
}

/// The result of the overload that matches, or else of Boost.Python's function.
[[gnu::always_inline]] inline PyObject* call(fast_callable const& called,
                                             PyObject* const* arguments, std::size_t given) {
    PyObject* result = nullptr;
    if (calls_in_progress > few_calls) [[unlikely]] {
        result = call_counted(called, arguments, given);
    } else {
        [[maybe_unused]] call_in_progress const counted{};
        result = call_overloads(*called.newest, arguments, given);
    }
    if (result == fast_overload::no_match()) [[unlikely]] {
        return call_plain_after(called, arguments, given);
    }
    return result;
}

/// Raises what CPython raises after such a call: a result beside an error, or neither of them.
[[gnu::cold, gnu::noinline]] PyObject* refuse_result(PyObject* called, PyObject* result) {
    if (result == nullptr) {
        return PyErr_Format(PyExc_SystemError, "%R returned NULL without setting an exception",
                            called);
    }
    py::handle<> const cause(take_raised_exception());
    Py_DECREF(result);
    PyErr_Format(PyExc_SystemError, "%R returned a result with an exception set", called);
    py::handle<> const error(take_raised_exception());
    PyException_SetCause(error.get(), Py_NewRef(cause.get()));
    PyException_SetContext(error.get(), Py_NewRef(cause.get()));
    PyErr_SetObject(PyExceptionInstance_Class(error.get()), error.get());
    return nullptr;
}

/// Whether CPython checks, after the call, that it has either a result or an error. Source:
/// CPython's Objects/call.c: _PyObject_VectorcallTstate() does, for every instruction that calls.
/// _PyVectorcall_Call(), for `f(*arguments)`, does not, and does not pass this flag.
bool is_result_checked(std::size_t flags) { return (flags & PY_VECTORCALL_ARGUMENTS_OFFSET) != 0; }

/// Whether the caller keeps the arguments until the call's end. An instruction of Python does: they
/// are in its frame. A function in C often lends what it has borrowed, as list.__repr__() lends an
/// item through PyObject_CallOneArg(); it has put them on the stack. Others, such as a bound
/// method, a partial() and `f(*arguments)`, do not pass the flag. Source: CPython's
/// Python/bytecodes.c, CALL; Objects/call.c and classobject.c.
bool keeps_arguments([[maybe_unused]] PyObject* const* arguments,
                     [[maybe_unused]] std::size_t flags) {
#if PY_VERSION_HEX >= 0x030E0000  // where an instruction copies them to the stack
    return false;
#else
    constexpr std::uintptr_t far = 1U << 20U;
    auto const here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    return (flags & PY_VECTORCALL_ARGUMENTS_OFFSET) != 0 &&
           reinterpret_cast<std::uintptr_t>(arguments) - here > far;
#endif
}

[[gnu::noinline]] PyObject* call_with_kept(PyObject* self, PyObject* const* arguments,
                                           std::size_t given) {
    Py_INCREF(self);
    auto* const result = call(fast_callable::of(self), arguments, given);
    Py_DECREF(self);
    return result;
}

/// The result, checked as CPython does where it does not.
PyObject* checked(PyObject* called, PyObject* result, std::size_t flags) {
    if (!is_result_checked(flags) && (result == nullptr) == (PyErr_Occurred() == nullptr))
        [[unlikely]] {
        return refuse_result(called, result);
    }
    return result;
}

/// What is called, or a converter, may run Python code, or let other threads do so, that drops an
/// argument, or what lends it.
[[gnu::noinline]] PyObject* call_with_lent(PyObject* self, PyObject* const* arguments,
                                           std::size_t flags) {
    auto const given = static_cast<std::size_t>(PyVectorcall_NARGS(flags));
    Py_INCREF(self);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only what is given is set
    std::array<PyObject*, few_parameters> kept;
    for (std::size_t index = 0; index < given; ++index) {
        kept[index] = Py_NewRef(arguments[index]);
    }
    auto* const result = checked(self, call(fast_callable::of(self), kept.data(), given), flags);
    for (std::size_t index = 0; index < given; ++index) {
        Py_DECREF(kept[index]);
    }
    Py_DECREF(self);
    return result;
}

/// The same with more of them, which a tuple keeps.
[[gnu::cold, gnu::noinline]] PyObject* call_with_many_lent(PyObject* self,
                                                           PyObject* const* arguments,
                                                           std::size_t flags) {
    auto const given = static_cast<std::size_t>(PyVectorcall_NARGS(flags));
    PyObject* const tuple = tuple_of(arguments, given);
    if (tuple == nullptr) {
        return nullptr;
    }
    auto* const kept = reinterpret_cast<PyTupleObject*>(tuple)->ob_item;
    auto* const result = checked(self, call_with_kept(self, kept, given), flags);
    Py_DECREF(tuple);
    return result;
}

[[gnu::cold, gnu::noinline]] PyObject* call_plain(PyObject* self, PyObject* const* arguments,
                                                  std::size_t flags, PyObject* keywords) {
    py::handle<> const plain(py::borrowed(fast_callable::of(self).plain));
    return PyObject_Vectorcall(plain.get(), arguments, flags, keywords);
}

PyObject* call_fast(PyObject* self, PyObject* const* arguments, std::size_t flags,
                    PyObject* keywords) {
    auto const given = static_cast<std::size_t>(PyVectorcall_NARGS(flags));
    if (keywords != nullptr || given > fast_overload::most_parameters) [[unlikely]] {
        return call_plain(self, arguments, flags, keywords);
    }
    if (keeps_arguments(arguments, flags)) {
        return call_with_kept(self, arguments, given);
    }
    return given <= few_parameters ? call_with_lent(self, arguments, flags)
                                   : call_with_many_lent(self, arguments, flags);
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
    if (given >= arity) {
        return no_match();
    }
    std::array<PyObject*, few_parameters> few{};  // a deep recursion has a small stack
    std::vector<PyObject*> many(arity <= few.size() ? 0 : arity);
    auto* const all = arity <= few.size() ? few.data() : many.data();
    for (std::size_t index = 0; index < arity; ++index) {
        all[index] = index < given ? arguments[index] : defaults[index].get();
        if (all[index] == nullptr) {
            return no_match();
        }
    }
    return call(all, nullptr);
}

PyObject* tuple_of(PyObject* const* arguments, std::size_t count) {
    PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(count));
    for (std::size_t index = 0; tuple != nullptr && index < count; ++index) {
        PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(index), Py_NewRef(arguments[index]));
    }
    return tuple;
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
    if (PyDict_CheckExact(names.ptr())) {
        Py_SET_TYPE(names.ptr(), &names_type);
    }
    py::objects::add_to_namespace(space, name, plain_, doc);
    target.attr(name) = fast;
    if (py::object(names[name]).ptr() != plain_.ptr()) {
        target.attr(name) = plain_;  // or a later overload would replace all
    }
}

}  // namespace handoff::detail
