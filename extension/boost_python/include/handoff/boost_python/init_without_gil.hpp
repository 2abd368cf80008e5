// init_without_gil<T...>(): a constructor of a Boost.Python class that runs without the GIL.
#pragma once

#include <handoff/boost_python/detail/python_object.hpp>
#include <handoff/gil/release.hpp>

#include <boost/python/init.hpp>
#include <boost/python/object.hpp>

namespace handoff {

namespace detail {

/// A Boost.Python holder that makes its C++ object with the GIL released.
template <class Holder>
struct released_holder : Holder {
    /// Boost.Python allocates it before, and installs it in `self` after, with the GIL held.
    template <class... Args>
    explicit released_holder(PyObject* self, Args const&... args)
        : released_holder(gil_release(), self, args...) {}  // lives until the other has returned

private:
    template <class... Args>
    released_holder(gil_release const& /*while_constructing*/, PyObject* self, Args const&... args)
        : Holder(self, args...) {}
};

/// A class_ whose constructors make a released_holder: only the part that init<> uses.
template <class Class>
struct released_class {
    struct metadata {
        using holder = released_holder<typename Class::metadata::holder>;
    };

    void def(char const* name, boost::python::object const& function, char const* doc) {
        actual.def(name, function, doc);
    }

    Class& actual;
};

/// Init, one of Boost.Python's init<>, for a released_class.
template <class Init>
class released_init : public boost::python::init_base<released_init<Init>> {
    static_assert(!holds_python_object<Init>,
                  "init_without_gil<T...>(): the constructor takes a Python object (PyObject*, "
                  "boost::python::object, handle<>, or a container of them), which may be touched "
                  "only with the GIL held. Give it parameters of C++ types, or bind it by init<> "
                  "and release the GIL inside, by handoff::gil_release");

public:
    explicit released_init(Init const& init)
        : boost::python::init_base<released_init<Init>>(init.doc_string(), init.keywords()),
          init_(init) {}

    /// With call policies, as init<>'s.
    template <class Policies>
    auto operator[](Policies const& policies) const {
        return released_init<boost::python::init_with_call_policies<Policies, Init>>(
            init_[policies]);
    }

private:
    friend class boost::python::def_visitor_access;

    template <class Class>
    void visit(Class& its_class) const {
        released_class<Class> target{its_class};
        boost::python::detail::define_class_init_helper<Init::n_defaults::value>::apply(
            target, init_.call_policies(), typename Init::signature(), typename Init::n_arguments(),
            init_.doc_string(), init_.keywords());
    }

    Init init_;
};

}  // namespace detail

/// Like boost::python::init<T...>, with keywords, docstring, optional<> and call policies:
///
///     class_<device, boost::noncopyable>("Device", init_without_gil<int>())
///         .def(init_without_gil<std::string, optional<double>>((arg("path"), arg("rate") = 1.0)));
///
/// The C++ constructor may wait, even for a thread that takes the GIL.
///
/// GIL:      held on entry and on return, also when the constructor throws. Released while it runs:
///           arguments are converted before.
/// Threads:  any that calls into Python. Before the constructor has returned, Python cannot reach
///           the C++ object, and a wrapper<> cannot reach its overrides.
/// REQUIRES: the constructor touches no Python object, also not the PyObject* that a class with a
///           back reference gets.
template <class... T, class... Options>
auto init_without_gil(Options const&... options) {
    using init = boost::python::init<T...>;
    return detail::released_init<init>(init(options...));
}

}  // namespace handoff
