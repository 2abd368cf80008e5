// boost::python::def(), make_constructor() and object() of a released_function.
#pragma once

#include <handoff/boost_python/detail/released_function.hpp>

#include <boost/python/converter/arg_to_python.hpp>
#include <boost/python/default_call_policies.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>

namespace boost::python {

/// object(f), attr("f") = f, and f as an argument of a Python call.
template <class Self, class F>
struct converter::arg_to_python<handoff::detail::released_function<Self, F>> : handle<> {
    explicit arg_to_python(object const& made) : handle<>(borrowed(made.ptr())) {}
};

// Separate functions instead of one with any number of options, which Boost's would match as well.
template <class Self, class F>
void def(char const* name, handoff::detail::released_function<Self, F> const& f) {
    f.define(name, static_cast<char const*>(nullptr));
}
template <class Self, class F, class A1>
void def(char const* name, handoff::detail::released_function<Self, F> const& f, A1 const& a1) {
    f.define(name, a1);
}
template <class Self, class F, class A1, class A2>
void def(char const* name, handoff::detail::released_function<Self, F> const& f, A1 const& a1,
         A2 const& a2) {
    f.define(name, a1, a2);
}
template <class Self, class F, class A1, class A2, class A3>
void def(char const* name, handoff::detail::released_function<Self, F> const& f, A1 const& a1,
         A2 const& a2, A3 const& a3) {
    f.define(name, a1, a2, a3);
}

template <class Self, class F>
object make_constructor(handoff::detail::released_function<Self, F> const& f) {
    return f.constructor(default_call_policies());
}
template <class Self, class F, class Policies>
object make_constructor(handoff::detail::released_function<Self, F> const& f,
                        Policies const& policies) {
    return f.constructor(policies);
}
template <class Self, class F, class Policies, class Keywords>
object make_constructor(handoff::detail::released_function<Self, F> const& f,
                        Policies const& policies, Keywords const& keywords) {
    return f.constructor(policies, keywords);
}

}  // namespace boost::python
