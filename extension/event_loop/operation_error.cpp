// operation_error: which OSError it is.
#include <handoff/operation_error.hpp>

#include <string>
#include <string_view>

namespace handoff {

void operation_error::restore() const {
    auto const text = code().message();
    // By name, because those that Boost.System converts are objects of their own.
    char const* const name = code().category().name();
    if (std::string_view const category(name); category == "system" || category == "generic") {
        // OSError chooses its subclass by the number.
        if (auto* const arguments = Py_BuildValue("is", code().value(), text.c_str())) {
            PyErr_SetObject(PyExc_OSError, arguments);
            Py_DECREF(arguments);
        }
        return;
    }
    PyErr_Format(PyExc_OSError, "%s %d: %s", name, code().value(), text.c_str());
}

}  // namespace handoff
