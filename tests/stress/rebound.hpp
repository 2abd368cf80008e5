// Is included before everything else in other people's modules, and makes all their bindings fast.
//
// rebound.py writes rebound_def() where they call def().
#pragma once

#include <handoff/boost_python/fast_class.hpp>

#include <boost/python/def.hpp>

namespace boost::python {

template <class T, class X1 = detail::not_specified, class X2 = detail::not_specified,
          class X3 = detail::not_specified>
using rebound_class_ = handoff::fast_class_<T, X1, X2, X3>;

template <class F, class... Options>
void rebound_def(char const* name, F f, Options const&... options) {
    if constexpr (handoff::detail::has_signature<F> &&
                  !(... || std::is_base_of_v<detail::overloads_base, Options>)) {
        def(name, handoff::fast(f), options...);
    } else {
        def(name, f, options...);
    }
}

}  // namespace boost::python

#define class_ rebound_class_
