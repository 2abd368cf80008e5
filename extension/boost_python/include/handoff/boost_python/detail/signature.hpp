// signature_of(f): what Boost.Python needs to know of a callable: its result and its parameters.
#pragma once

#include <handoff/boost_python/detail/python_object.hpp>

#include <boost/python/detail/unwrap_wrapper.hpp>
#include <boost/python/signature.hpp>

#include <boost/mpl/vector.hpp>

#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

namespace handoff::detail {

/// The result and the parameters of a callable; those of a member function begin with its object.
template <class R, class... P>
struct signature {
    using of_boost = boost::mpl::vector<R, P...>;
    static constexpr std::size_t arity = sizeof...(P);
    static constexpr bool holds_python_objects =
        holds_python_object<R> || (... || holds_python_object<P>);
};

/// The object of a member function of class C: a Target, if that is derived from C. So a function
/// that is inherited from a class without a Python class takes an object of the class that
/// has one. Target is void if no class is known.
template <class Target, class C>
// NOLINTNEXTLINE(readability-redundant-typename): Clang 14 asks for it
using object_of = typename boost::python::detail::most_derived<Target, C>::type&;

/// The class whose object the functions of class_<W> take: the class that W wraps, or W.
template <class W>
using unwrapped = std::remove_pointer_t<decltype(boost::python::detail::unwrap_wrapper(
    static_cast<W*>(nullptr)))>;

// Boost.Python's own get_signature() knows neither qualifiers nor function objects. A noexcept
// function is deduced like any other.
template <class Target, class R, class C, class... P>
signature<R, object_of<Target, C>, P...> signature_of(R (C::*)(P...));
template <class Target, class R, class C, class... P>
signature<R, object_of<Target, C>, P...> signature_of(R (C::*)(P...) const);
template <class Target, class R, class C, class... P>
signature<R, object_of<Target, C>, P...> signature_of(R (C::*)(P...) &);
template <class Target, class R, class C, class... P>
signature<R, object_of<Target, C>, P...> signature_of(R (C::*)(P...) const&);

template <class R, class... P>
signature<R, P...> signature_of_function(std::function<R(P...)> const&);

/// Functions, lambdas and other function objects: what a std::function makes of them.
template <class Target, class F>
auto signature_of(F const& f) -> decltype(signature_of_function(std::function(f)));

/// Whether a signature can be found: not for a generic lambda, or another object with several
/// calls.
template <class F>
concept has_signature = requires(F const& f) { signature_of<void>(f); };

template <class F>
consteval bool touches_python_objects() {
    if constexpr (has_signature<F>) {
        return decltype(signature_of<void>(std::declval<F const&>()))::holds_python_objects;
    }
    return false;
}

}  // namespace handoff::detail
