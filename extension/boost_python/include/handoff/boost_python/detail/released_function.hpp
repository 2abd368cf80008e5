// released_function: the result of without_gil(), which Boost.Python accepts as a function.
#pragma once

#include <handoff/boost_python/detail/python_function.hpp>
#include <handoff/boost_python/detail/signature.hpp>
#include <handoff/gil/release.hpp>

#include <boost/python/make_constructor.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/object.hpp>
#include <boost/python/object/add_to_namespace.hpp>

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

/// What without_gil() returns.
template <class Self, class F>
class released_function : public python_function<released_function<Self, F>, Self> {
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

    /// Target: the class in which it is bound; void where there is none. Options: a def_helper of
    /// Boost.Python's.
    template <class Target, class Options>
    boost::python::object function(Options const& options) const {
        using found = decltype(signature_of<Target>(f_));
        return boost::python::make_function(released_call<F>{f_}, options.policies(),
                                            options.keywords(), typename found::of_boost());
    }

    /// Space: a class or a module. Doc: may be null.
    template <class Target, class Options>
    void add_to(boost::python::object const& space, char const* name, Options const& options,
                char const* doc) const {
        boost::python::objects::add_to_namespace(space, name, function<Target>(options), doc);
    }

    template <class Other>
    static released_function<void, Other> of(Other f) {
        return released_function<void, Other>(f);
    }

    /// boost::python::make_constructor(). Options: call policies, or these and keywords.
    template <class... Options>
    boost::python::object constructor(Options const&... options) const {
        using found = decltype(signature_of<Self>(f_));
        return boost::python::make_constructor(released_call<F>{f_}, options...,
                                               typename found::of_boost());
    }

private:
    F f_;
};

}  // namespace handoff::detail
