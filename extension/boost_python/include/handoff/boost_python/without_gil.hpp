// without_gil(f): a Boost.Python function that runs the C++ callable f without the GIL.
#pragma once

#include <handoff/gil/release.hpp>

#if !__has_include(<boost/python.hpp>)
#error "without_gil() is for Boost.Python; elsewhere handoff::gil_release is a scope of its own"
#endif
#include <handoff/boost_python/detail/python_object.hpp>

#include <boost/python/args.hpp>
#include <boost/python/default_call_policies.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/object.hpp>

#include <boost/mpl/vector.hpp>

#include <functional>
#include <type_traits>
#include <utility>

namespace handoff {

namespace detail {

/// Calls f with the GIL released. Boost.Python converts the arguments before and the result
/// after, with the GIL held.
template <class F>
struct released_call {
    F f;

    template <class... Args>
    decltype(auto) operator()(Args&&... args) const {
        gil_release while_calling;
        return std::invoke(f, std::forward<Args>(args)...);
    }
};

/// The result and the parameters of a callable.
template <class R, class... P>
struct signature {
    using of_boost = boost::mpl::vector<R, P...>;
    static constexpr bool holds_python_objects =
        holds_python_object<R> || (... || holds_python_object<P>);
};

/// A member function's object is a Self (void: its own class).
template <class Self, class R, class... P>
signature<R, P...> signature_of(R (*)(P...));
template <class Self, class R, class C, class... P>
signature<R, std::conditional_t<std::is_void_v<Self>, C, Self>&, P...> signature_of(R (C::*)(P...));
template <class Self, class R, class C, class... P>
signature<R, std::conditional_t<std::is_void_v<Self>, C, Self>&, P...> signature_of(R (C::*)(P...)
                                                                                        const);

/// The same of a lambda: its parameters, without the closure.
template <class R, class C, class... P>
signature<R, P...> signature_of_closure(R (C::*)(P...) const);
template <class Self, class F>
decltype(signature_of_closure(&F::operator())) signature_of(F const&);

/// For make_function(). Refuses at compile time what must not run without the GIL.
template <class Self, class F>
auto checked_signature() {
    using found = decltype(signature_of<Self>(std::declval<F const&>()));
    static_assert(!found::holds_python_objects,
                  "without_gil(f): f takes or returns a Python object (PyObject*, "
                  "boost::python::object, handle<>, or a container of them), which may be touched "
                  "only with the GIL held. Give f parameters and a result of C++ types, or bind it "
                  "without without_gil() and release the GIL inside f, by handoff::gil_release");
    return typename found::of_boost();
}

}  // namespace detail

/// Binds a member function, a free function or a lambda so that it runs without the GIL.
///
///     class_<camera>("Camera")
///         .def("grab", without_gil(&camera::grab), "grab() -> None")
///         .def("seek", without_gil(&camera::seek, arg("frame")), "seek(frame) -> None");
///     def("solve", without_gil(&solve, (arg("rows"), arg("columns") = 1)));
///
/// A member inherited from a class that Python does not know is bound for the class it does
/// know: without_gil<camera>(&device::open).
///
/// GIL:      held on entry and on return, also when f throws; released while f runs.
/// Threads:  any that calls into Python.
/// REQUIRES: f touches no Python object. Its parameters and its result are C++ values: Python
///           objects among them are an error of compilation.
///           A std::shared_ptr from Python that f keeps refers to its Python object: see
///           drop_shared_ptr_anywhere().
template <class Self = void, class F>
boost::python::object without_gil(F f) {
    return boost::python::make_function(detail::released_call<F>{f},
                                        boost::python::default_call_policies(),
                                        detail::checked_signature<Self, F>());
}

/// The same, with the parameters' names and defaults.
template <class Self = void, class F, class Keywords>
boost::python::object without_gil(F f, Keywords const& keywords) {
    return boost::python::make_function(detail::released_call<F>{f},
                                        boost::python::default_call_policies(), keywords,
                                        detail::checked_signature<Self, F>());
}

}  // namespace handoff
