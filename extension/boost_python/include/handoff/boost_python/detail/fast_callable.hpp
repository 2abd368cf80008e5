// fast_callable: the Python object that calls C++ overloads directly, or through Boost.Python.
#pragma once

#include <handoff/gil/python.hpp>

#include <boost/python/args_fwd.hpp>
#include <boost/python/detail/signature.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/object.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace handoff::detail {

/// A C++ function with its conversions. A fast_callable calls it directly; Boost.Python calls it
/// like any other function.
struct fast_overload {
    explicit fast_overload(std::size_t parameters) : arity(parameters), defaults(parameters) {}
    fast_overload(fast_overload const&) = delete;
    fast_overload& operator=(fast_overload const&) = delete;
    // One base for all; for each signature a class derives from it. What is "cold" runs once, as a
    // module is imported, or seldom: the compiler makes it small.
    [[gnu::cold, gnu::noinline]] virtual ~fast_overload() = default;

    /// Of one function. A module may raise Boost.Python's own limit, BOOST_PYTHON_MAX_ARITY, to it.
    static constexpr std::size_t most_parameters = 64;

    /// Returned if the arguments do not match and the function was not called.
    [[nodiscard]] static PyObject* no_match() noexcept { return &unmatched; }

    /// Tuple: of the arguments; null if none has been made yet.
    virtual PyObject* call(PyObject* const* arguments, PyObject* tuple) = 0;

    [[nodiscard]] virtual boost::python::detail::py_func_sig_info signature() const = 0;

    /// As call(), with another number of arguments than there are parameters.
    PyObject* call_with_defaults(PyObject* const* arguments, std::size_t given);

    std::size_t arity;
    std::vector<boost::python::handle<>> defaults;  ///< Of each parameter; null: it has none.
    std::shared_ptr<fast_overload> older;

private:
    static inline PyObject unmatched{};
};

/// Returns: a new reference; null with a Python error set.
PyObject* tuple_of(PyObject* const* arguments, std::size_t count);

/// The dictionary of a class or of a module.
[[nodiscard]] boost::python::object names_in(boost::python::object const& space);

/// What Python finds there; None if there is nothing.
[[nodiscard]] boost::python::object found_in(boost::python::object const& names, char const* name);

/// A function that fast() has prepared, to be put into a class or a module.
class fast_definition {
public:
    /// Takes over the overload.
    fast_definition(fast_overload* overload, boost::python::detail::keyword_range keywords);

    /// The Boost.Python function.
    [[nodiscard]] boost::python::object plain() const { return plain_; }

    /// A fast_callable.
    [[nodiscard]] boost::python::object callable() const;

    /// Space: a class or a module. Doc: may be null.
    void add_to(boost::python::object const& space, char const* name, char const* doc) const;

private:
    boost::python::object plain_;
    std::shared_ptr<fast_overload> overload_;
};

}  // namespace handoff::detail
