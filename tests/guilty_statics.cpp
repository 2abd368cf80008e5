// guilty_statics: statics that run Python code when they are initialised, which test_statics.py
// must find, and some that cannot.
#include <handoff/gil/python.hpp>

#include <cstddef>

namespace guilty {

namespace {

[[gnu::used]] PyObject* imported() {
    static PyObject* const only = PyImport_ImportModule("threading");
    return only;
}

struct in_a_class {
    [[gnu::used]] static PyObject* member() {
        static auto& only = *new PyObject*(PyImport_ImportModule("threading"));
        return only;
    }
};

template <class T>
PyObject* in_a_template() {
    static PyObject* const only = PyObject_CallNoArgs(T::member());
    return only;
}
[[gnu::used]] PyObject* instantiated() { return in_a_template<in_a_class>(); }

[[gnu::used]] PyObject* in_a_lambda(PyObject* called) {
    return [](PyObject* its) {
        static PyObject* const only = PyObject_CallNoArgs(its);
        return only;
    }(called);
}

[[gnu::used]] std::size_t innocent() {
    static std::size_t count = 0;
    static constinit PyObject* only = nullptr;
    static char const* const names[] = {"a", "b"};
    if (only == nullptr) {
        only = PyImport_ImportModule(names[count % 2]);
    }
    return ++count;
}

}  // namespace

}  // namespace guilty
