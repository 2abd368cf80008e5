// boost::python::def(), make_constructor() and object() of what without_gil() and fast() return.
#pragma once

#include <handoff/boost_python/detail/released_function.hpp>

#include <boost/python/converter/arg_to_python.hpp>
#include <boost/python/default_call_policies.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>

namespace handoff::detail {

/// What without_gil() and fast() return.
template <class T>
concept defines_itself = requires(T const& f) {
    f.define("", static_cast<char const*>(nullptr));
    f.boosts();
};

}  // namespace handoff::detail

namespace boost::python {

/// object(f), attr("f") = f, and an argument of a Python call.
template <template <class...> class Made, class... Of>
    requires handoff::detail::defines_itself<Made<Of...>>
struct converter::arg_to_python<Made<Of...>> : handle<> {
    explicit arg_to_python(Made<Of...> const& made) : handle<>(borrowed(made.boosts().ptr())) {}
};

// Not one function with any number of options: Boost's would be as good for the compiler.
template <template <class...> class Made, class... Of>
    requires handoff::detail::defines_itself<Made<Of...>>
void def(char const* name, Made<Of...> const& f) {
    f.define(name, static_cast<char const*>(nullptr));
}
template <template <class...> class Made, class... Of, class A1>
    requires handoff::detail::defines_itself<Made<Of...>>
void def(char const* name, Made<Of...> const& f, A1 const& a1) {
    f.define(name, a1);
}
template <template <class...> class Made, class... Of, class A1, class A2>
    requires handoff::detail::defines_itself<Made<Of...>>
void def(char const* name, Made<Of...> const& f, A1 const& a1, A2 const& a2) {
    f.define(name, a1, a2);
}
template <template <class...> class Made, class... Of, class A1, class A2, class A3>
    requires handoff::detail::defines_itself<Made<Of...>>
void def(char const* name, Made<Of...> const& f, A1 const& a1, A2 const& a2, A3 const& a3) {
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
