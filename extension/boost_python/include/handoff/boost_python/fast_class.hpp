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
        .function(boost::python::detail::def_helper<policies>(policies()));
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

public:
    using base::base;

    template <class Visitor>
    fast_class_& def(boost::python::def_visitor<Visitor> const& visitor) {
        using visiting = boost::python::def_visitor<detail::visits_any_class>;
        visiting::visit(visitor, *this);
        return *this;
    }
    template <class F>
    fast_class_& def(char const* name, F f) {
        base::def(name, made(name, std::move(f)));
        return *this;
    }
    template <class F, class A1>
    fast_class_& def(char const* name, F f, A1 const& a1) {
        if constexpr (std::is_base_of_v<boost::python::detail::overloads_base, A1>) {
            note(name, "BOOST_PYTHON_FUNCTION_OVERLOADS: give default values by keywords");
            base::def(name, f, a1);
        } else {
            base::def(name, made(name, std::move(f)), a1);
        }
        return *this;
    }
    template <class F, class A1, class... A>
        requires(sizeof...(A) == 1 || sizeof...(A) == 2)
    fast_class_& def(char const* name, F f, A1 const& a1, A const&... a) {
        base::def(name, made(name, std::move(f)), a1, a...);
        return *this;
    }

    template <class Get>
    fast_class_& add_property(char const* name, Get get, char const* doc = nullptr) {
        base::add_property(name, getter(name, get), doc);
        return *this;
    }
    template <class Get, class Set>
        requires(!std::is_convertible_v<Set, char const*>)
    fast_class_& add_property(char const* name, Get get, Set set, char const* doc = nullptr) {
        base::add_property(name, getter(name, get), setter(name, set), doc);
        return *this;
    }

    template <class Data>
    fast_class_& def_readonly(char const* name, Data&& data, char const* doc = nullptr) {
        if constexpr (std::is_member_object_pointer_v<std::decay_t<Data>>) {
            return add_property(name, data, doc);
        } else {
            note(name, "static data");
            base::def_readonly(name, data, doc);
            return *this;
        }
    }
    template <class Data>
    fast_class_& def_readwrite(char const* name, Data&& data, char const* doc = nullptr) {
        if constexpr (std::is_member_object_pointer_v<std::decay_t<Data>>) {
            return add_property(name, data, data, doc);
        } else {
            note(name, "static data");
            base::def_readwrite(name, data, doc);
            return *this;
        }
    }

    // What Boost.Python defines. They return this class, so that a following .def() is fast.
    template <class... A>
    fast_class_& add_static_property(char const* name, A const&... a) {
        base::add_static_property(name, a...);
        note(name, "a static property");
        return *this;
    }
    template <class Suite>
    fast_class_& def_pickle(Suite const& suite) {
        base::def_pickle(suite);
        return *this;
    }
    template <class Value>
    fast_class_& setattr(char const* name, Value const& value) {
        base::setattr(name, value);
        return *this;
    }
    fast_class_& staticmethod(char const* name) {
        base::staticmethod(name);
        return *this;
    }
    fast_class_& enable_pickling() {
        base::enable_pickling();
        return *this;
    }

    [[nodiscard]] std::vector<left_plain> const& plain() const { return plain_; }

private:
    template <class F>
    static constexpr bool can_be_fast =
        detail::has_signature<F> && !std::is_member_object_pointer_v<F>;

    void note(char const* name, char const* reason) {
        plain_.push_back({.name = name, .reason = reason});
    }

    template <class F>
    auto made(char const* name, F f) {
        if constexpr (can_be_fast<F>) {
            return fast(std::move(f));
        } else {
            note(name, name == std::string_view("__init__")
                           ? "a constructor"
                           : "no function whose parameters can be found");
            return f;
        }
    }

    /// The class that T wraps, or T.
    using target = detail::unwrapped<T>;

    template <class F>
    auto getter(char const* name, F f) {
        if constexpr (std::is_member_object_pointer_v<F>) {
            return detail::fast_getter<target>(f);
        } else {
            return accessor(name, f);
        }
    }

    template <class F>
    auto setter(char const* name, F f) {
        if constexpr (std::is_member_object_pointer_v<F>) {
            return detail::fast_setter<target>(f);
        } else {
            return accessor(name, f);
        }
    }

    template <class F>
    auto accessor(char const* name, F f) {
        if constexpr (std::is_member_function_pointer_v<F>) {
            return fast<target>(f);
        } else {
            return made(name, std::move(f));
        }
    }

    std::vector<left_plain> plain_;
};

}  // namespace handoff
