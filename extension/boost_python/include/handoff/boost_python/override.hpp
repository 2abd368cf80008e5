// override_of<R>(this, "name"): the Python override of a virtual function, called on any thread.
#pragma once

#include <handoff/boost_python/detail/in_python.hpp>
#include <handoff/gil/detail/python_life.hpp>

#include <boost/python/converter/registered.hpp>
#include <boost/python/detail/wrapper_base.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>
#include <boost/python/wrapper.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace handoff {

namespace detail {

/// The name as a str of Python's that is made and hashed once. By its address, where literals are.
///
/// GIL:     held.
/// Returns: borrowed; there until Python ends.
/// Throws:  error_already_set.
inline PyObject* interned(char const* name) {
    struct known {
        char const* name;
        PyObject* string;
        unsigned long life;
    };
    static constinit std::array<known, 64> all{};
    known& its = all[reinterpret_cast<std::uintptr_t>(name) / 8 % all.size()];
    if (its.name != name || its.life != python_life() ||
        std::strcmp(PyUnicode_AsUTF8(its.string), name) != 0) {
        PyObject* const string = PyUnicode_InternFromString(name);
        if (string == nullptr) {
            throw boost::python::error_already_set();
        }
        // The former is kept, too: who called us further out may use it yet.
        its = {.name = name, .string = string, .life = watched_python_life()};
    }
    return its.string;
}

/// The class that Python knows T by.
template <class T>
PyTypeObject* class_of(boost::python::wrapper<T> const&) {
    return boost::python::converter::registered<T>::converters.get_class_object();
}

template <class R, class Self>
class override_call {
public:
    override_call(Self const& self, char const* name) noexcept : self_(self), name_(name) {}

    /// For a pure virtual function: as call_or(), without a base to call.
    /// Throws: also no_python; a python_error that is NotImplementedError where no Python class
    ///         overrides it.
    template <class... Args>
    R operator()(Args const&... arguments) const {
        refuse_what_needs_the_gil<R, Args...>();
        return in_python(name_, [&] {
            boost::python::object const found = find();
            if (found.is_none()) {
                PyErr_Format(PyExc_NotImplementedError,
                             "%s() is pure virtual in C++, and no Python class overrides it",
                             name_);
                throw boost::python::error_already_set();
            }
            return call_python<R>(found, arguments...);
        });
    }

    /// Calls the override with copies of the arguments; or base() where there is none, or Python
    /// is gone, with the GIL as the caller has it.
    /// Throws: python_error: what the override raises, or a value that cannot be converted.
    template <class Base, class... Args>
    R call_or(Base const& base, Args const&... arguments) const {
        refuse_what_needs_the_gil<R, Args...>();
        using result = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
        std::optional<result> of_python;
        try {
            in_python(name_, [&] {
                boost::python::object const found = find();
                if constexpr (std::is_void_v<R>) {
                    if (!found.is_none()) {
                        call_python<void>(found, arguments...);
                        of_python.emplace();
                    }
                } else if (!found.is_none()) {
                    of_python.emplace(call_python<R>(found, arguments...));
                }
            });
        } catch (no_python const&) {  // NOLINT(bugprone-empty-catch): base() it is
        }
        if (!of_python) {
            return base();
        }
        if constexpr (!std::is_void_v<R>) {
            return *std::move(of_python);
        }
    }

private:
    /// As wrapper<T>::get_override(), which makes two strings of the name each time, and leaves an
    /// AttributeError set. None where there is none, or Python has begun to destroy the object, to
    /// which nothing may refer any more. GIL: held.
    [[nodiscard]] boost::python::object find() const {
        PyObject* const its = boost::python::detail::wrapper_base_::get_owner(self_);
        if (its == nullptr || Py_REFCNT(its) == 0) {
            return {};
        }
        PyObject* const name = interned(name_);
        PyObject* const found = PyObject_GetAttr(its, name);
        if (found == nullptr && PyErr_ExceptionMatches(PyExc_AttributeError) != 0) {
            PyErr_Clear();  // the class does not bind it
            return {};
        }
        boost::python::object owned{boost::python::handle<>(found)};
        bool const is_of_cpp =
            PyMethod_Check(found) && PyMethod_Self(found) == its &&
            PyDict_GetItemWithError(class_of(self_)->tp_dict, name) == PyMethod_Function(found);
        return is_of_cpp ? boost::python::object() : owned;
    }

    Self const& self_;
    char const* name_;
};

}  // namespace detail

/// The Python override of a virtual function of a class that derives from boost::python::wrapper<>;
/// its C++ callers may be any threads.
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
/// GIL:      any; the same on return. A call waits for it: no lock is held that a holder of the
///           GIL might wait for.
/// Threads:  any.
/// REQUIRES: the object lives as long as the call. The gate is open, as HANDOFF_PYTHON_MODULE
///           opens it; see gil_try_acquire.
template <class R, class Self>
[[nodiscard]] detail::override_call<R, Self> override_of(Self const* self,
                                                         char const* name) noexcept {
    return {*self, name};
}

}  // namespace handoff
