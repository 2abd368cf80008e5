// A finder, asked last, for two names in one folder.
#include "installed_packages.hpp"

#include <handoff/gil/python.hpp>

#include <boost/python/dict.hpp>
#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/list.hpp>
#include <boost/python/object.hpp>

#include <array>
#include <filesystem>
#include <system_error>

namespace handoff {

namespace py = boost::python;

namespace {

constexpr std::array packages{"gilcheck", "giltrace"};

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
            try {
                py::list folders;
                folders.append(py::object(py::handle<>(py::borrowed(folder))));
                py::object const finder = py::import("importlib.machinery").attr("PathFinder");
                py::object const spec =
                    finder.attr("find_spec")(py::object(py::handle<>(py::borrowed(name))), folders);
                return py::incref(spec.ptr());
            } catch (py::error_already_set const&) {
                return nullptr;
            }
        }
    }
    return Py_NewRef(Py_None);
}

/// The folder that holds them; empty where there is none.
std::filesystem::path folder_of_packages() {
    std::error_code failed;
    // The host, whatever link it was started by.
    auto const host = std::filesystem::read_symlink("/proc/self/exe", failed);
    auto folder = (host.parent_path() / HANDOFF_PACKAGES_FROM_HOST).lexically_normal();
    for (char const* const package : packages) {
        if (!failed && std::filesystem::exists(folder / package / "__init__.py", failed)) {
            return folder;
        }
    }
    return {};
}

}  // namespace

void find_installed_packages() {
    static PyMethodDef definition = {
        .ml_name = "find_spec",
        .ml_meth = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&find_spec)),
        .ml_flags = METH_VARARGS | METH_KEYWORDS,
        .ml_doc = "Finds the packages that were installed with the host."};
    auto const folder = folder_of_packages();
    if (folder.empty()) {
        return;
    }
    try {
        py::object const path{py::handle<>(PyUnicode_DecodeFSDefault(folder.c_str()))};
        py::object finder = py::import("types").attr("SimpleNamespace")();
        finder.attr("find_spec") =
            py::object(py::handle<>(PyCFunction_New(&definition, path.ptr())));
        py::import("sys").attr("meta_path").attr("append")(finder);
    } catch (py::error_already_set const&) {
        PyErr_Clear();  // somebody else's sys.meta_path
    }
}

}  // namespace handoff
