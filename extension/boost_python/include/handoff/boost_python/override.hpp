// override_of<R>(this, "name"): the Python override of a virtual function, called on any thread.
#pragma once

#include <handoff/boost_python/detail/in_python.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/detail/python_life.hpp>

#include <boost/python/converter/registered.hpp>
#include <boost/python/detail/wrapper_base.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>
#include <boost/python/wrapper.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace handoff {

namespace detail {

/// The name of a virtual function, as a Python str that is made and hashed once.
class virtual_name {
public:
    /// Looked up by the address of the characters; a literal's does not change.
    ///
    /// GIL:    held.
    /// Throws: error_already_set.
    static virtual_name& find(char const* name) {
        static constinit HANDOFF_OF_ATTACHED_THREADS std::array<virtual_name, 64> all{};
        virtual_name& its = all[reinterpret_cast<std::uintptr_t>(name) / 8 % all.size()];
        if (its.name_ != name || its.life_ != python_life() ||
            std::strcmp(its.characters_, name) != 0) [[unlikely]] {
            its.learn(name);
        }
        return its;
    }

    /// Borrowed; valid until Python ends.
    [[nodiscard]] PyObject* string() const noexcept { return string_; }

    /// Whether the class has another function of that name than the class that is registered for
    /// the C++ class. Remembers the last class for which this was so. A class has a version until
    /// it is changed, and no other class ever has the same.
    ///
    /// GIL:    held.
    /// Throws: error_already_set: Python does not know the C++ class.
    bool is_overridden_by(PyTypeObject* type,
                          boost::python::converter::registration const& registered) {
        unsigned const version = version_of(type);
        if (overriding_ == type && version_ == version && of_ == &registered) {
            return true;
        }
        // Borrowed, and only compared: the class may be changed as we look.
        PyObject* const of_cpp = _PyType_Lookup(registered.get_class_object(), string_);
        PyObject* const of_class = _PyType_Lookup(type, string_);
        if (of_class == nullptr || of_class == of_cpp) {
            return false;
        }
        // 0: it had none before it was asked, or versions have run out.
        if (version != 0 && version == version_of(type)) {
            overriding_ = type;
            version_ = version;
            of_ = &registered;
        }
        return true;
    }

private:
    static unsigned version_of(PyTypeObject* type) noexcept {
        return std::atomic_ref(type->tp_version_tag).load(std::memory_order_relaxed);
    }

    [[gnu::cold]] void learn(char const* name) {
        PyObject* const made = PyUnicode_InternFromString(name);
        char const* const characters = made != nullptr ? PyUnicode_AsUTF8(made) : nullptr;
        if (characters == nullptr) {
            Py_XDECREF(made);
            throw boost::python::error_already_set();
        }
        // The former string is kept, too: an outer call may still use it.
        *this = {};
        name_ = name;
        life_ = watched_python_life();
        string_ = made;
        characters_ = characters;
    }

    char const* name_ = nullptr;
    unsigned long life_ = 0;  // of Python
    PyObject* string_ = nullptr;
    char const* characters_ = nullptr;  // the string's
    PyTypeObject* overriding_ = nullptr;
    unsigned version_ = 0;
    boost::python::converter::registration const* of_ = nullptr;
};

/// What Boost.Python knows of T.
template <class T>
boost::python::converter::registration const& registration_of(boost::python::wrapper<T> const&) {
    return boost::python::converter::registered<T>::converters;
}

template <class R, class Self>
class override_call {
public:
    override_call(Self const& self, char const* name) noexcept : self_(self), name_(name) {}

    /// For a pure virtual function: like call_or(), without a base to call.
    /// Throws: also no_python; if no Python class overrides it, a python_error that is a
    ///         NotImplementedError.
    template <class... Args>
    R operator()(Args const&... arguments) const {
        refuse_what_needs_the_gil<R, Args...>();
        return in_python(name_, [&] {
            python_callee const found = find();
            if (found.object.is_none()) {
                PyErr_Format(PyExc_NotImplementedError,
                             "%s() is pure virtual in C++, and no Python class overrides it",
                             name_);
                throw boost::python::error_already_set();
            }
            return call_python<R>(found, arguments...);
        });
    }

    /// Calls the override with copies of the arguments. If there is none, or Python is not running,
    /// calls base(), with the GIL as the caller has it.
    /// Throws: python_error: an exception of the override, or a value that cannot be converted.
    template <class Base, class... Args>
    R call_or(Base const& base, Args const&... arguments) const {
        refuse_what_needs_the_gil<R, Args...>();
        using result = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
        std::optional<result> of_python;
        try {
            in_python(name_, [&] {
                python_callee const found = find();
                if constexpr (std::is_void_v<R>) {
                    if (!found.object.is_none()) {
                        call_python<void>(found, arguments...);
                        of_python.emplace();
                    }
                } else if (!found.object.is_none()) {
                    of_python.emplace(call_python<R>(found, arguments...));
                }
            });
        } catch (no_python const&) {  // NOLINT(bugprone-empty-catch): base() is called
        }
        if (!of_python) {
            return base();
        }
        if constexpr (!std::is_void_v<R>) {
            return *std::move(of_python);
        }
    }

private:
    /// Like wrapper<T>::get_override(), which makes two strings of the name and a bound method each
    /// time, and leaves an AttributeError set. Empty if there is none, or if Python has begun to
    /// destroy the object, so that nothing may refer to it any more. GIL: held.
    [[nodiscard]] python_callee find() const {
        PyObject* const its = boost::python::detail::wrapper_base_::get_owner(self_);
        if (its == nullptr || Py_REFCNT(its) == 0) {
            return {};
        }
        virtual_name& known = virtual_name::find(name_);
        PyObject* const name = known.string();
        PyTypeObject* const type = Py_TYPE(its);
        if (known.is_overridden_by(type, registration_of(self_))) {
            return {.object = owned(Py_NewRef(its)), .method = name};
        }
        PyObject* const found = PyObject_GetAttr(its, name);  // its own, or from __getattr__
        if (found == nullptr && PyErr_ExceptionMatches(PyExc_AttributeError) != 0) {
            PyErr_Clear();
            return {};
        }
        boost::python::object own = owned(found);
        bool const is_of_cpp = PyMethod_Check(found) && PyMethod_Self(found) == its &&
                               PyMethod_Function(found) == _PyType_Lookup(type, name);
        return is_of_cpp ? python_callee() : python_callee{.object = std::move(own)};
    }

    /// Throws: error_already_set for null.
    static boost::python::object owned(PyObject* result) {
        return boost::python::object(boost::python::handle<>(result));
    }

    Self const& self_;
    char const* name_;
};

}  // namespace detail

/// The Python override of a virtual function of a class that derives from boost::python::wrapper<>.
/// Any C++ thread may call it.
///
///     struct cost_from_python : cost, boost::python::wrapper<cost> {
///         double eval(double x) override {                     // pure in C++
///             return handoff::override_of<double>(this, "eval")(x);
///         }
///         double scale() override {                            // not pure
///             return handoff::override_of<double>(this, "scale").call_or([&] {
///                 return cost::scale();
///             });
///         }
///     };
///
/// GIL:      any; the same on return. A call waits for it, so hold no lock for which a holder of
///           the GIL might wait.
/// Threads:  any.
/// REQUIRES: the object lives as long as the call. The gate is open, as HANDOFF_PYTHON_MODULE
///           opens it; see gil_try_acquire.
template <class R, class Self>
[[nodiscard]] detail::override_call<R, Self> override_of(Self const* self,
                                                         char const* name) noexcept {
    return {*self, name};
}

}  // namespace handoff
