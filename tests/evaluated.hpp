// evaluated(bind, expression), raised_by(…): what a Python expression gives, or raises, among names
// that a test has bound.
#pragma once

#include "embedded_python.hpp"

#include <boost/python.hpp>

#include <string>
#include <utility>

/// As text. `bind` defines the names, in the scope of a module of its own, the first time in a
/// process: a Boost.Python class is defined once.
inline std::string evaluated(void (*bind)(), std::string const& expression) {
    namespace py = boost::python;
    return embedded_python::python().invoke([&] {
        py::object module{py::handle<>(py::borrowed(PyImport_AddModule("bound")))};
        py::object const names = module.attr("__dict__");
        if (!names.contains("is_bound")) {
            py::scope const inside(module);
            bind();
            module.attr("is_bound") = true;
        }
        return std::string(py::extract<std::string>(
            py::str(py::eval(py::str(expression), py::extract<py::dict>(names)()))));
    });
}

using type_and_text = std::pair<std::string, std::string>;

/// The exception that Python gets; two empty texts where there is none.
inline type_and_text raised_by(void (*bind)(), std::string const& expression) {
    try {
        evaluated(bind, expression);
    } catch (handoff::python_error const& error) {
        return {error.type(), error.message()};
    }
    return {};
}
