// PyInit_Foo of the program handoff: Foo and Boost.Python are loaded when Foo is first imported.
//
// So a script that does not import Foo pays nothing for it. And no Boost.Python is in the process's
// global scope: there it would take the place of another version that some module brings with it.
#include <handoff/foo_module.hpp>

#include <dlfcn.h>

namespace {

/// Found where the program's RUNPATH says: among the packages that were installed with it.
constexpr char const* library_name = "Foo" HANDOFF_MODULE_SUFFIX;

/// Returns: null, with a Python error set.
PyObject* cannot_import(char const* reason) {
    PyObject* const message = PyUnicode_FromFormat(
        "Foo is built into this program, but its library cannot be loaded: %s. It is installed "
        "with the program; install both again (make install PREFIX=...), or build them (make)",
        reason);
    PyObject* const name = PyUnicode_FromString("Foo");
    if (message != nullptr && name != nullptr) {
        PyErr_SetImportError(message, name, nullptr);
    }
    Py_XDECREF(message);
    Py_XDECREF(name);
    return nullptr;
}

}  // namespace

PyObject* PyInit_Foo() {
    void* const library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return cannot_import(dlerror());
    }
    // Its own, not this one: what is asked of a library is looked for there first.
    auto* const init = reinterpret_cast<decltype(&PyInit_Foo)>(dlsym(library, "PyInit_Foo"));
    if (init == nullptr || init == &PyInit_Foo) {
        return cannot_import("it is no module Foo");
    }
    return init();
}
