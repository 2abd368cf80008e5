// PyInit_Foo of the program handoff: Foo and Boost.Python are loaded when Foo is first imported.
//
// So a script that does not import Foo pays nothing for it. And no Boost.Python is in the process's
// global scope: there it would take the place of another version that some module brings with it.
#include <handoff/foo_module.hpp>
#include <handoff/gil/detail/reference.hpp>

#include <cstddef>
#include <cstdlib>
#include <dlfcn.h>
#include <memory>
#include <string>
#include <unistd.h>

namespace {

using handoff::detail::reference;

/// The path of Foo's library, which was installed in a folder of the program's RUNPATH; empty if it
/// is not there. The search is not left to dlopen(), which uses the RUNPATH of its caller: that may
/// be an interceptor, such as the address sanitizer's. Source: dlinfo(3), RTLD_DI_SERINFO.
std::string path_of_library() {
    void* const program = dlopen(nullptr, RTLD_LAZY);
    Dl_serinfo size{};
    if (program == nullptr || dlinfo(program, RTLD_DI_SERINFOSIZE, &size) != 0) {
        return {};
    }
    std::unique_ptr<Dl_serinfo, decltype(&std::free)> const folders(
        static_cast<Dl_serinfo*>(std::calloc(1, size.dls_size)), &std::free);
    if (folders == nullptr || dlinfo(program, RTLD_DI_SERINFOSIZE, folders.get()) != 0 ||
        dlinfo(program, RTLD_DI_SERINFO, folders.get()) != 0) {
        return {};
    }
    for (std::size_t each = 0; each < folders->dls_cnt; ++each) {
        // NOLINTNEXTLINE(cppcoreguidelines-pro-bounds-constant-array-index): it has as many
        std::string path =
            std::string(folders->dls_serpath[each].dls_name) + "/" HANDOFF_FOO_LIBRARY;
        if (access(path.c_str(), R_OK) == 0) {
            return path;
        }
    }
    return {};
}

/// Returns: null, with a Python error set.
PyObject* cannot_import(char const* reason) {
    reference const message(PyUnicode_FromFormat(
        "Foo is built into this program, but its library cannot be loaded: %s. It is installed "
        "with the program; install both again (make install PREFIX=...), or build them (make)",
        reason));
    reference const name(PyUnicode_FromString("Foo"));
    if (message && name) {
        PyErr_SetImportError(message.get(), name.get(), nullptr);
    }
    return nullptr;
}

}  // namespace

PyObject* PyInit_Foo() {
    std::string const path = path_of_library();
    if (path.empty()) {
        return cannot_import("there is no " HANDOFF_FOO_LIBRARY " in the program's RUNPATH");
    }
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return cannot_import(dlerror());
    }
    // dlsym() searches the library itself first, so this is the library's PyInit_Foo, not this one.
    auto* const init = reinterpret_cast<decltype(&PyInit_Foo)>(dlsym(library, "PyInit_Foo"));
    if (init == nullptr || init == &PyInit_Foo) {
        return cannot_import("it does not contain the module Foo");
    }
    return init();
}
