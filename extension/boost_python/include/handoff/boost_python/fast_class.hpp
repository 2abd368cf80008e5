// fast_class_<T, …>: a boost::python::class_ whose functions are all fast().
#pragma once

#include <handoff/boost_python/fast.hpp>

#include <boost/python/class.hpp>
#include <boost/python/data_members.hpp>
#include <boost/python/def_visitor.hpp>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace handoff::detail {

struct visits_any_class;

// Reads and writes a data member as Boost.Python's make_getter() and make_setter() do. T: the class
// in which it is bound. Source: Boost.Python's data_members.hpp.
template <class T, class Data, class C>
boost::python::object fast_getter(Data C::* of_base) {
    // NOLINTNEXTLINE(readability-redundant-typename): Clang 14 asks for it
    using policies = typename boost::python::detail::default_member_getter_policy<Data>::type;
    Data T::* const member = of_base;
    auto const read = [member](T& from) -> Data& { return from.*member; };
    return fast_function<T, decltype(read), decltype(read)>(read, read)
        .template function<T>(boost::python::detail::def_helper<policies>(policies()));
}
template <class T, class Data, class C>
boost::python::object fast_setter(Data C::* of_base) {
    Data T::* const member = of_base;
    return fast([member](T& to, Data const& value) { to.*member = value; });
}

}  // namespace handoff::detail

/// Only a def_visitor may call another visitor; Boost.Python's visitors accept any class.
template <>
class boost::python::def_visitor<handoff::detail::visits_any_class> {
public:
    template <class Visitor, class Class>
    static void visit(boost::python::def_visitor<Visitor> const& visitor, Class& visited) {
        def_visitor_access::visit(visitor, visited);
    }
};

namespace handoff {

/// A definition that fast_class_ has passed on to Boost.Python unchanged.
struct left_plain {
    std::string name;
    std::string reason;
};

/// Like boost::python::class_, with the same arguments. To make a class fast, change its name:
///
///     handoff::fast_class_<camera>("Camera")
///         .def("frame", &camera::frame)
///         .add_property("exposure", &camera::exposure);
///
/// plain() lists what was left to Boost.Python, with the reasons.
///
/// GIL: held.
template <class T, class X1 = boost::python::detail::not_specified,
          class X2 = boost::python::detail::not_specified,
          class X3 = boost::python::detail::not_specified>
// NOLINTNEXTLINE(readability-identifier-naming): as Boost.Python's
class fast_class_ : public boost::python::class_<T, X1, X2, X3> {
    using base = boost::python::class_<T, X1, X2, X3>;
    using target = detail::unwrapped<T>;

public:
    using base::base;

    template <class Visitor>
    fast_class_& def(boost::python::def_visitor<Visitor> const& visitor) {
        using visiting = boost::python::def_visitor<detail::visits_any_class>;
        visiting::visit(visitor, *this);
        return *this;
    }
    template <class F, class... A>
    fast_class_& def(char const* name, F f, A const&... a) {
        if constexpr ((... || std::is_base_of_v<boost::python::detail::overloads_base, A>)) {
            note(name, "BOOST_PYTHON_FUNCTION_OVERLOADS: give default values by keywords");
            base::def(name, f, a...);
        } else {
            base::def(name, made(name, std::move(f)), a...);
        }
        return *this;
    }

    template <class Get>
    fast_class_& add_property(char const* name, Get get, char const* doc = nullptr) {
        return base::add_property(name, getter(name, get), doc), *this;
    }
    template <class Get, class Set>
        requires(!std::is_convertible_v<Set, char const*>)
    fast_class_& add_property(char const* name, Get get, Set set, char const* doc = nullptr) {
        return base::add_property(name, getter(name, get), setter(name, set), doc), *this;
    }
    template <class Data>
    fast_class_& def_readonly(char const* name, Data&& data, char const* doc = nullptr) {
        if constexpr (std::is_member_object_pointer_v<std::decay_t<Data>>) {
            return add_property(name, data, doc);
        } else {
            note(name, "static data");
            return base::def_readonly(name, data, doc), *this;
        }
    }
    template <class Data>
    fast_class_& def_readwrite(char const* name, Data&& data, char const* doc = nullptr) {
        if constexpr (std::is_member_object_pointer_v<std::decay_t<Data>>) {
            return add_property(name, data, data, doc);
        } else {
            note(name, "static data");
            return base::def_readwrite(name, data, doc), *this;
        }
    }
    template <class... A>
    fast_class_& add_static_property(char const* name, A const&... a) {
        note(name, "a static property");
        return base::add_static_property(name, a...), *this;
    }
    fast_class_& staticmethod(char const* name) {
        auto const function = detail::found_in(detail::names_in(*this), name);
        base::staticmethod(name);
        this->attr(name) =
            boost::python::object(boost::python::handle<>(PyStaticMethod_New(function.ptr())));
        return *this;
    }

    // What Boost.Python defines, so that .def() after it is this class's.
    template <class Suite>
    fast_class_& def_pickle(Suite const& suite) {
        return base::def_pickle(suite), *this;
    }
    template <class Value>
    fast_class_& setattr(char const* name, Value const& value) {
        return base::setattr(name, value), *this;
    }
    fast_class_& enable_pickling() { return base::enable_pickling(), *this; }

    [[nodiscard]] std::vector<left_plain> const& plain() const { return plain_; }

private:
    void note(char const* name, char const* reason) {
        plain_.push_back({.name = name, .reason = reason});
    }

    template <class F>
    auto made(char const* name, F f) {
        if constexpr (detail::has_signature<F>) {
            return fast<target>(std::move(f));
        } else {
            note(name, name == std::string_view("__init__")
                           ? "a constructor"
                           : "no function whose parameters can be found");
            return f;
        }
    }

    template <class F>
    auto getter(char const* name, F f) {
        if constexpr (std::is_member_object_pointer_v<F>) {
            return detail::fast_getter<target>(f);
        } else {
            return made(name, std::move(f));
        }
    }
    template <class F>
    auto setter(char const* name, F f) {
        if constexpr (std::is_member_object_pointer_v<F>) {
            return detail::fast_setter<target>(f);
        } else {
            return made(name, std::move(f));
        }
    }

    std::vector<left_plain> plain_;
};

}  // namespace handoff
