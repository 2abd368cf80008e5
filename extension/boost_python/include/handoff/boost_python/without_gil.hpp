// without_gil(f): a Boost.Python function that runs the C++ callable f without the GIL.
#pragma once

#include <handoff/gil/release.hpp>

#if !__has_include(<boost/python.hpp>)
#error "without_gil() is for Boost.Python; elsewhere handoff::gil_release is a scope of its own"
#endif
#include <handoff/boost_python/detail/def.hpp>

#include <boost/python/detail/def_helper.hpp>
#include <boost/python/object.hpp>

#include <utility>

namespace handoff {

/// Binds a function, a member function, a lambda or another function object so that it runs without
/// the GIL. Write it wherever Boost.Python takes a function. Call policies, keywords and a
/// docstring follow it as usual, in any order:
///
///     class_<camera>("Camera")
///         .def("grab", without_gil(&camera::grab))
///         .def("seek", without_gil(&camera::seek), (arg("frame"), arg("from") = 0), "Seeks.")
///         .def("lens", without_gil(&camera::lens), return_internal_reference<>())
///         .add_property("exposure", without_gil(&camera::exposure));
///     def("solve", without_gil(&solve), (arg("rows"), arg("columns") = 1));
///
/// .def() knows the class that it defines, so `grab` may be inherited from a class that Python does
/// not know. add_property() does not pass the class on, so name it there:
/// add_property("is_open", without_gil<camera>(&device::is_open)). For constructors use
/// init_without_gil(), or make_constructor(without_gil(&make_camera)). The functions that
/// BOOST_PYTHON_FUNCTION_OVERLOADS makes hold the GIL: give default values with keywords instead.
///
/// GIL:      held on entry and on return, also when f throws: its exception is translated with the
///           GIL held. Released while f runs. Arguments are converted before, the result after, and
///           call policies run with the GIL held.
/// Threads:  any that calls into Python. Several may run f at once, on the same object. They share
///           what f itself holds, such as the captures of a mutable lambda: f must protect it.
/// REQUIRES: f touches no Python object. Its parameters and its result are C++ values: Python
///           objects among them do not compile.
///           A std::shared_ptr from Python that f keeps refers to its Python object: see
///           drop_shared_ptr_anywhere().
template <class Self = void, class F>
detail::released_function<Self, F> without_gil(F f) {
    return detail::released_function<Self, F>(std::move(f));
}

/// Returns the function as an object, as make_function() does, with call policies, keywords and a
/// docstring, in any order:
///
///     .add_property("lens", without_gil(&camera::lens, return_internal_reference<>()))
///
/// GIL:      held.
template <class Self = void, class F, class... Options>
    requires(sizeof...(Options) > 0)
boost::python::object without_gil(F f, Options const&... options) {
    boost::python::detail::def_helper<Options...> const all(options...);
    boost::python::object made =
        detail::released_function<Self, F>(std::move(f)).template function<Self>(all);
    if (all.doc() != nullptr) {
        made.attr("__doc__") = all.doc();
    }
    return made;
}

}  // namespace handoff
