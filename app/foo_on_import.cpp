// PyInit_Foo of the program handoff: Foo and Boost.Python are loaded when Foo is first imported.
//
// So a script that does not import Foo pays nothing for it. And no Boost.Python is in the process's
// global scope: there it would take the place of another version that some module brings with it.
#include "installed_packages.hpp"
#include <handoff/foo_module.hpp>

#include <dlfcn.h>
#include <filesystem>

namespace {

/// Returns: null, with a Python error set.
PyObject* cannot_import(char const* reason, std::filesystem::path const& path) {
    PyObject* const message = PyUnicode_FromFormat(
        "Foo is built into this program, but its library cannot be loaded: %s. It is installed "
        "with "
        "the program; install both again (make install PREFIX=...), or build them (make)",
        reason);
    PyObject* const name = PyUnicode_FromString("Foo");
    PyObject* const file = path.empty() ? nullptr : PyUnicode_DecodeFSDefault(path.c_str());
    if (message != nullptr && name != nullptr) {
        PyErr_SetImportError(message, name, file);
    }
    Py_XDECREF(message);
    Py_XDECREF(name);
    Py_XDECREF(file);
    return nullptr;
}

}  // namespace

PyObject* PyInit_Foo() {
    auto const path = handoff::installed_with_host("Foo" HANDOFF_MODULE_SUFFIX);
    if (path.empty()) {
        return cannot_import("there is no Foo" HANDOFF_MODULE_SUFFIX
                             " in " HANDOFF_PACKAGES_FROM_HOST ", seen from the program's folder",
                             path);
    }
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return cannot_import(dlerror(), path);
    }
    // Its own, not this one: what is asked of a library is looked for there first.
    auto* const init = reinterpret_cast<decltype(&PyInit_Foo)>(dlsym(library, "PyInit_Foo"));
    if (init == nullptr || init == &PyInit_Foo) {
        return cannot_import("it is no module Foo", path);
    }
    return init();
}
