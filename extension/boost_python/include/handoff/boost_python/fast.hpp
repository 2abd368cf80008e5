// fast(f): a Boost.Python function that is called without Boost.Python's dispatch.
#pragma once

#include <handoff/boost_python/detail/def.hpp>
#include <handoff/boost_python/detail/fast_argument.hpp>
#include <handoff/boost_python/detail/fast_callable.hpp>
#include <handoff/boost_python/detail/released_function.hpp>
#include <handoff/boost_python/detail/signature.hpp>
#include <handoff/boost_python/without_gil.hpp>

#include <boost/python/default_call_policies.hpp>
#include <boost/python/detail/caller.hpp>
#include <boost/python/detail/def_helper.hpp>
#include <boost/python/detail/invoke.hpp>
#include <boost/python/detail/preprocessor.hpp>
#include <boost/python/return_value_policy.hpp>

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace handoff {

namespace detail {

/// Whether the policies do nothing before and after a call.
template <class Policies>
struct converts_only : std::false_type {};
template <>
struct converts_only<boost::python::default_call_policies> : std::true_type {};
template <class Converter>
struct converts_only<
    boost::python::return_value_policy<Converter, boost::python::default_call_policies>>
    : std::true_type {};

/// Calls F as a boost::python::detail::caller does, without a tuple of arguments if it can.
template <class F, class Policies, class Signature>
class fast_caller;

template <class F, class Policies, class R, class... P>
class fast_caller<F, Policies, signature<R, P...>> final : public fast_overload {
    // NOLINTNEXTLINE(readability-redundant-typename): Clang 14 asks for it
    using converter = typename boost::python::detail::select_result_converter<Policies, R>::type;
    static constexpr bool needs_tuple =
        !converts_only<Policies>::value ||
        std::is_base_of_v<boost::python::converter::context_result_converter, converter>;

public:
    fast_caller(F f, Policies policies)
        : fast_overload(sizeof...(P)), f_(std::move(f)), policies_(std::move(policies)) {}

    PyObject* call(PyObject* const* arguments, PyObject* tuple) override {
        return convert<0>(arguments, tuple);
    }

    [[nodiscard, gnu::cold]] boost::python::detail::py_func_sig_info signature() const override {
        namespace py = boost::python::detail;
        using types = boost::mpl::vector<R, P...>;
        return {py::signature<types>::elements(), py::get_ret<Policies, types>()};
    }

private:
    /// Converts in Boost.Python's order; the first failure ends the attempt.
    template <std::size_t Index, class... Converted>
    PyObject* convert(PyObject* const* arguments, PyObject* tuple, Converted&... converted) {
        if constexpr (Index == sizeof...(P)) {
            return invoke(arguments, tuple, converted...);
        } else {
            fast_argument<std::tuple_element_t<Index, std::tuple<P...>>> next(arguments[Index]);
            if (!next.convertible()) [[unlikely]] {
                return fast_overload::no_match();
            }
            return convert<Index + 1>(arguments, tuple, converted..., next);
        }
    }

    template <class... Converted>
    PyObject* invoke(PyObject* const* arguments, PyObject* tuple, Converted&... converted) {
        namespace py = boost::python;
        if constexpr (needs_tuple) {
            py::handle<> const made(tuple == nullptr ? tuple_of(arguments, sizeof...(P))
                                                     : Py_NewRef(tuple));
            PyObject* const package = made.get();
            if (!policies_.precall(package)) {  // f is not called
                return PyErr_Occurred() != nullptr ? nullptr : fast_overload::no_match();
            }
            PyObject* const result = py::detail::invoke(
                py::detail::invoke_tag<R, F>(),
                py::detail::create_result_converter(package, static_cast<converter*>(nullptr),
                                                    static_cast<converter*>(nullptr)),
                f_, converted...);
            return policies_.postcall(package, result);
        } else {
            return py::detail::invoke(py::detail::invoke_tag<R, F>(), converter(), f_,
                                      converted...);
        }
    }

    F f_;
    [[no_unique_address]] Policies policies_;
};

/// What fast() returns. F: what is called; G: what its parameters are found by.
template <class Self, class F, class G>
class fast_function : public python_function<fast_function<Self, F, G>, Self> {
    static_assert(!std::is_member_object_pointer_v<G>,
                  "fast(f): f is a pointer to a data member. Give a lambda that returns it");
    static_assert(std::is_member_object_pointer_v<G> || has_signature<G>,
                  "fast(f): f has no parameters that can be found: it is a generic lambda, a "
                  "bind(), or has several operators (). Call it in a lambda whose parameters have "
                  "types, or make it a std::function");

public:
    fast_function(F f, G g) : f_(std::move(f)), g_(std::move(g)) {}

    /// For a property, which nobody adds overloads to.
    template <class Target, class Options>
    [[nodiscard]] boost::python::object function(Options const& options) const {
        return make<Target>(options).callable();
    }

    [[nodiscard]] boost::python::object boosts() const {
        return make<Self>(boost::python::detail::def_helper<char const*>(nullptr)).plain();
    }

    template <class Target, class Options>
    void add_to(boost::python::object const& space, char const* name, Options const& options,
                char const* doc) const {
        make<Target>(options).add_to(space, name, doc);
    }

    template <class Other>
    static fast_function<void, Other, Other> of(Other f) {
        return {f, f};
    }

private:
    template <class Target, class Options>
    [[gnu::cold]] fast_definition make(Options const& options) const {
        using policies = std::decay_t<decltype(options.policies())>;
        using found = decltype(signature_of<Target>(g_));
        static_assert(std::is_same_v<typename policies::argument_package, PyObject*>,
                      "fast(f): the call policies have an argument_package of their own: leave f "
                      "to Boost.Python");
        static_assert(std::decay_t<decltype(options.keywords())>::size <= found::arity,
                      "fast(f): there are more keywords than f has parameters");
        static_assert(found::arity <= BOOST_PYTHON_MAX_ARITY,
                      "fast(f): f has more parameters than Boost.Python takes: "
                      "BOOST_PYTHON_MAX_ARITY");
        static_assert(found::arity <= fast_overload::most_parameters,
                      "fast(f): f has more than 64 parameters: leave it to Boost.Python");
        return {new fast_caller<F, policies, found>(f_, options.policies()),
                options.keywords().range()};
    }

    F f_;
    G g_;
};

}  // namespace detail

/// Binds a function, a member function, a lambda or another function object so that a call from
/// Python costs as much as with nanobind. Write it wherever Boost.Python takes a function:
///
///     class_<camera>("Camera")
///         .def("frame", fast(&camera::frame))
///         .def("seek", fast(&camera::seek), (arg("frame"), arg("from") = 0), "Seeks.")
///         .def("grab", fast(without_gil(&camera::grab)))
///         .def("__len__", fast(&camera::size))
///         .add_property("exposure", fast<camera>(&camera::exposure));
///     def("solve", fast(&solve));
///
/// Everything else works as before: overloads, keywords, default values, conversions, call
/// policies, overrides, docstrings and errors. A call with keywords or with default values, or
/// whose arguments do not match, is made by Boost.Python.
///
/// GIL:     held; fast(without_gil(f)) releases it while f runs, and only then.
/// Threads: as Boost.Python's functions.
template <class Self = void, class F>
detail::fast_function<Self, F, F> fast(F f) {
    return {f, f};
}

template <class Self, class F>
detail::fast_function<Self, detail::released_call<F>, F> fast(
    detail::released_function<Self, F> const& released) {
    return {detail::released_call<F>{released.callable()}, released.callable()};
}

}  // namespace handoff
