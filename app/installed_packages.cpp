// A finder for a few names in one folder. Python asks it last.
#include "installed_packages.hpp"

#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/python.hpp>

#include <array>
#include <filesystem>
#include <system_error>

namespace handoff {

namespace {

using detail::reference;

constexpr std::array packages{"gilcheck", "giltrace", "gilwatch", "handoff_attach",
                              "handoff_ticker"};

/// find_spec(fullname, path=None, target=None), of the folder. See importlib.abc.MetaPathFinder.
PyObject* find_spec(PyObject* folder, PyObject* arguments, PyObject* named) {
    static std::array<char const*, 4> const names{"fullname", "path", "target", nullptr};
    PyObject* name = nullptr;
    PyObject* path = Py_None;
    PyObject* target = Py_None;
    if (PyArg_ParseTupleAndKeywords(arguments, named, "U|OO:find_spec",
                                    const_cast<char**>(names.data()), &name, &path, &target) == 0) {
        return nullptr;
    }
    for (char const* const package : packages) {
        if (path == Py_None && PyUnicode_CompareWithASCIIString(name, package) == 0) {
            reference const machinery(PyImport_ImportModule("importlib.machinery"));
            reference const finder(machinery ? PyObject_GetAttrString(machinery.get(), "PathFinder")
                                             : nullptr);
            return finder ? PyObject_CallMethod(finder.get(), "find_spec", "O[O]", name, folder)
                          : nullptr;
        }
    }
    return Py_NewRef(Py_None);
}

/// The folder that holds them; empty if there is none.
std::filesystem::path folder_of_packages() {
    std::error_code failed;
    // The host's own file, even if it was started by a link.
    auto const host = std::filesystem::read_symlink("/proc/self/exe", failed);
    auto folder = (host.parent_path() / HANDOFF_PACKAGES_FROM_HOST).lexically_normal();
    for (char const* const package : packages) {
        if (!failed && std::filesystem::exists(folder / package / "__init__.py", failed)) {
            return folder;
        }
    }
    return {};
}

/// Appends the finder to sys.meta_path. Returns whether it could; a Python error is set if not.
bool append_finder(char const* folder) {
    static PyMethodDef definition = {
        .ml_name = "find_spec",
        .ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&find_spec)),
        .ml_flags = METH_VARARGS | METH_KEYWORDS,
        .ml_doc = "Finds the packages that were installed with the host."};
    PyObject* const meta_path = PySys_GetObject("meta_path");
    reference const path(PyUnicode_DecodeFSDefault(folder));
    // A types.SimpleNamespace; Python has this one before anything is imported.
    PyObject* const a_namespace = PySys_GetObject("implementation");
    reference const finder(a_namespace != nullptr ? PyObject_CallNoArgs(reinterpret_cast<PyObject*>(
                                                        Py_TYPE(a_namespace)))
                                                  : nullptr);
    reference const function(path ? PyCFunction_New(&definition, path.get()) : nullptr);
    return meta_path != nullptr && finder && function &&
           PyObject_SetAttrString(finder.get(), "find_spec", function.get()) == 0 &&
           reference(PyObject_CallMethod(meta_path, "append", "O", finder.get())) != nullptr;
}

}  // namespace

void find_installed_packages() {
    auto const folder = folder_of_packages();
    if (!folder.empty() && !append_finder(folder.c_str())) {
        PyErr_Clear();  // other code has replaced sys.meta_path
    }
}

}  // namespace handoff
