// released_function: the result of without_gil(), which Boost.Python accepts as a function.
#pragma once

#include <handoff/boost_python/detail/signature.hpp>
#include <handoff/gil/release.hpp>

#include <boost/python/def.hpp>
#include <boost/python/make_constructor.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/object.hpp>

#include <functional>
#include <type_traits>
#include <utility>

namespace handoff::detail {

/// Calls f with the GIL released.
template <class F>
struct released_call {
    F f;

    template <class... Args>
    decltype(auto) operator()(Args&&... args) {
        gil_release while_calling(called_by_python{});
        return std::invoke(f, std::forward<Args>(args)...);
    }
};

/// Becomes a Python function where it is used. class_::def() visits it, and says for which class,
/// with which call policies and keywords. Everything else converts it to an object.
///
/// It derives from object_operators, as boost::python::object and its proxies do. So it is a
/// def_visitor, and add_property() accepts it as an object.
template <class Self, class F>
class released_function : public boost::python::api::object_operators<released_function<Self, F>> {
    static_assert(!std::is_member_object_pointer_v<F>,
                  "without_gil(f): f is a pointer to a data member, which is read without a call. "
                  "Bind it by def_readwrite(), def_readonly() or add_property()");
    static_assert(
        std::is_member_object_pointer_v<F> || has_signature<F>,
        "without_gil(f): f has no parameters that can be found: it is a generic lambda, a "
        "bind(), or has several operators (). Call it in a lambda whose parameters have "
        "types, or make it a std::function");
    static_assert(!touches_python_objects<F>(),
                  "without_gil(f): f takes or returns a Python object (PyObject*, "
                  "boost::python::object, handle<>, or a container of them), which may be touched "
                  "only with the GIL held. Give f parameters and a result of C++ types, or bind it "
                  "without without_gil() and release the GIL inside f, by handoff::gil_release");

public:
    explicit released_function(F f) : f_(std::move(f)) {}

    [[nodiscard]] F const& callable() const { return f_; }

    // NOLINTNEXTLINE(misc-explicit-constructor): it is an object, as a proxy is
    operator boost::python::object() const {
        return function<Self>(boost::python::detail::def_helper<char const*>(nullptr));
    }

    /// Target: the class in which it is bound; void if there is none. Options: a Boost.Python
    /// def_helper.
    template <class Target, class Options>
    boost::python::object function(Options const& options) const {
        using found = decltype(signature_of<Target>(f_));
        return boost::python::make_function(released_call<F>{f_}, options.policies(),
                                            options.keywords(), typename found::of_boost());
    }

    /// boost::python::def().
    template <class... Options>
    void define(char const* name, Options const&... options) const {
        boost::python::detail::def_helper<Options...> const all(options...);
        boost::python::detail::scope_setattr_doc(name, function<Self>(all), all.doc());
    }

    /// boost::python::make_constructor(). Options: call policies, or these and keywords.
    template <class... Options>
    boost::python::object constructor(Options const&... options) const {
        using found = decltype(signature_of<Self>(f_));
        return boost::python::make_constructor(released_call<F>{f_}, options...,
                                               typename found::of_boost());
    }

private:
    friend class boost::python::def_visitor_access;

    template <class Class, class Options>
    void visit(Class& its_class, char const* name, Options const& options) const {
        // NOLINTNEXTLINE(readability-redundant-typename): Clang 14 asks for it
        using wrapped = unwrapped<typename Class::wrapped_type>;
        using target = std::conditional_t<std::is_void_v<Self>, wrapped, Self>;
        its_class.def(name, function<target>(options), options.doc());
        if constexpr (Options::has_default_implementation) {
            auto const base = options.default_implementation();
            its_class.def(name, released_function<void, std::decay_t<decltype(base)>>(base)
                                    .template function<void>(options));
        }
    }

    F f_;
};

}  // namespace handoff::detail
