// python_function: what without_gil() and fast() return is taken by Boost.Python as a function is.
#pragma once

#include <handoff/boost_python/detail/signature.hpp>
#include <handoff/gil/python.hpp>

#include <boost/python/def.hpp>
#include <boost/python/detail/def_helper.hpp>
#include <boost/python/object.hpp>
#include <boost/python/scope.hpp>

#include <type_traits>

namespace handoff::detail {

/// Becomes a Python function where it is used. class_::def() visits it, and says for which class,
/// with which call policies and keywords. All else converts it to an object.
///
/// It derives from object_operators, as boost::python::object and its proxies do. That is a
/// def_visitor, and add_property() takes it for an object.
///
/// Made: what derives from it. Self: the class in which it is bound, if Boost.Python does not say.
template <class Made, class Self>
// NOLINTNEXTLINE(bugprone-crtp-constructor-accessibility): aggregates derive from it
class python_function : public boost::python::api::object_operators<Made> {
    Made const& made() const { return static_cast<Made const&>(*this); }

public:
    // NOLINTNEXTLINE(misc-explicit-constructor): it is an object, as a proxy is
    operator boost::python::object() const {
        return made().template function<Self>(
            boost::python::detail::def_helper<char const*>(nullptr));
    }

    /// One that is Boost.Python's, to which it may add overloads.
    [[nodiscard]] boost::python::object boosts() const { return *this; }

    /// boost::python::def().
    template <class... Options>
    void define(char const* name, Options const&... options) const {
        boost::python::detail::def_helper<Options...> const all(options...);
        made().template add_to<Self>(boost::python::scope(), name, all, all.doc());
    }

private:
    friend class boost::python::def_visitor_access;

    template <class Class, class Options>
    void visit(Class& its_class, char const* name, Options const& options) const {
        // NOLINTNEXTLINE(readability-redundant-typename): Clang 14 asks for it
        using wrapped = unwrapped<typename Class::wrapped_type>;
        using target = std::conditional_t<std::is_void_v<Self>, wrapped, Self>;
        made().template add_to<target>(its_class, name, options, options.doc());
        if constexpr (Options::has_default_implementation) {
            made()
                .of(options.default_implementation())
                .template add_to<void>(its_class, name, options, nullptr);
        }
    }
};

}  // namespace handoff::detail
