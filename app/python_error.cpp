// python_error: formatted by Python's own traceback module.
#include <handoff/gil/raised.hpp>
#include <handoff/python_error.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/object.hpp>
#include <boost/python/str.hpp>

#include <utility>

namespace handoff {

namespace py = boost::python;

namespace {

/// As UTF-8; what cannot be encoded is escaped.
std::string text(py::object const& string) {
    py::object const bytes = string.attr("encode")("utf-8", "backslashreplace");
    return {PyBytes_AS_STRING(bytes.ptr()),
            static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
}

/// str(value), which is the script's code and may raise.
std::string text_of(py::object const& value) {
    try {
        return text(py::str(value));
    } catch (py::error_already_set const&) {
        PyErr_Clear();
        return "<exception str() failed>";  // as python3 says
    }
}

std::string name_of(py::object const& type) {
    std::string const module = text_of(type.attr("__module__"));
    std::string const name = text_of(type.attr("__qualname__"));
    return module == "builtins" || module == "__main__" ? name : module + "." + name;
}

/// Source: CPython's _Py_HandleSystemExit: None is 0, an integer itself, all else 1.
std::optional<int> exit_code_of(py::object const& exception) {
    if (PyErr_GivenExceptionMatches(exception.ptr(), PyExc_SystemExit) == 0) {
        return std::nullopt;
    }
    py::object const code = exception.attr("code");
    if (code.is_none()) {
        return 0;
    }
    if (PyLong_Check(code.ptr()) == 0) {
        return 1;
    }
    long const number = PyLong_AsLong(code.ptr());
    PyErr_Clear();
    return static_cast<int>(number);
}

}  // namespace

python_error::python_error(std::string type, std::string message, std::string traceback,
                           std::optional<int> exit_code)
    : std::runtime_error(message.empty() ? type : type + ": " + message),
      type_(std::move(type)),
      message_(std::move(message)),
      traceback_(std::move(traceback)),
      exit_code_(exit_code) {}

python_error python_error::fetch() {
    py::object const exception{py::handle<>(take_raised_exception())};
    std::string traceback;
    try {
        py::object const type = exception.attr("__class__");
        py::object const stack = exception.attr("__traceback__");
        py::object const lines =
            py::import("traceback").attr("format_exception")(type, exception, stack);
        traceback = text(py::str("").join(lines));
    } catch (py::error_already_set const&) {
        PyErr_Clear();  // an exception that cannot be formatted is still one with a type
    }
    return {name_of(exception.attr("__class__")), text_of(exception), std::move(traceback),
            exit_code_of(exception)};
}

}  // namespace handoff
