// HANDOFF_PYTHON_MODULE: a Boost.Python module whose import fails with the error that was raised.
#pragma once

#include <handoff/boost_python/python_error.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/gate.hpp>

#include <boost/python/module.hpp>

namespace handoff::detail {

/// BOOST_PYTHON_MODULE ignores that the body has failed, and returns the module with an error set.
/// Python then replaces that error by "SystemError: initialization of … raised unreported
/// exception"; up to 3.11 the original error is lost.
/// Source: Boost.Python's src/module.cpp, init_module_in_scope(); CPython's Python/importdl.c.
inline PyObject* init_module(PyModuleDef& definition, void (*fill)(),
                             [[maybe_unused]] bool needs_no_gil) {
    if (refuse_free_threaded_python() || !gil_gate::open()) {
        return nullptr;
    }
    PyObject* const module = boost::python::detail::init_module(definition, fill);
    translate_python_errors();  // tried before those that the body registers
    if (PyErr_Occurred() == nullptr) {
#ifdef Py_GIL_DISABLED
        if (needs_no_gil) {
            PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
        }
#endif
        return module;
    }
    Py_XDECREF(module);
    return nullptr;
}

}  // namespace handoff::detail

namespace handoff {

/// Says of a module that it needs no GIL: see HANDOFF_PYTHON_MODULE.
struct gil_not_used_t {};
inline constexpr gil_not_used_t gil_not_used;

namespace detail {

constexpr bool says_it_needs_no_gil() noexcept { return false; }
constexpr bool says_it_needs_no_gil(gil_not_used_t /*said*/) noexcept { return true; }

}  // namespace detail

}  // namespace handoff

/// Like BOOST_PYTHON_MODULE(name) { … }, for a module with native threads. It opens the gate. A
/// python_error that leaves one of the module's functions becomes the original Python exception. An
/// exception of the body is what `import name` raises.
///
///     HANDOFF_PYTHON_MODULE(camera) { boost::python::def("run", &run); }
///
///     HANDOFF_PYTHON_MODULE(camera, handoff::gil_not_used) { … }
///
/// The second says that the module guards its own data, so that a free-threaded Python imports it
/// and goes on without a GIL. Python switches its GIL on for the process, with a warning, where a
/// module does not say so. On a build with a GIL it says nothing.
/// Source: CPython's Doc/howto/free-threading-extensions.rst.
///
/// In a subinterpreter, and while Python shuts down, the import fails with the error of
/// gil_gate::open().
#define HANDOFF_PYTHON_MODULE(...) HANDOFF_MODULE_THAT_IS_CALLED(__VA_ARGS__)  // expands the name

#define HANDOFF_MODULE_THAT_IS_CALLED(name, ...)                                                 \
    static void handoff_fill_##name();                                                           \
    extern "C" [[gnu::visibility("default")]] PyObject* PyInit_##name();                         \
    PyObject* PyInit_##name() {                                                                  \
        static PyModuleDef definition = {.m_base = PyModuleDef_HEAD_INIT,                        \
                                         .m_name = #name,                                        \
                                         .m_doc = nullptr,                                       \
                                         .m_size = -1,                                           \
                                         .m_methods = nullptr,                                   \
                                         .m_slots = nullptr,                                     \
                                         .m_traverse = nullptr,                                  \
                                         .m_clear = nullptr,                                     \
                                         .m_free = nullptr};                                     \
        return handoff::detail::init_module(definition, &handoff_fill_##name,                    \
                                            handoff::detail::says_it_needs_no_gil(__VA_ARGS__)); \
    }                                                                                            \
    static void handoff_fill_##name()
