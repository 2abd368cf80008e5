// redirection: a raw stream in Python, which calls the function, under Python's own text stream.
#include "redirection.hpp"

#include <handoff/gil/release.hpp>

#include <boost/python/call.hpp>
#include <boost/python/dict.hpp>
#include <boost/python/import.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/object.hpp>

#include <boost/mpl/vector.hpp>

namespace handoff::redirection {

namespace py = boost::python;

namespace {

// It has no buffer: each write reaches the function at once, and there is nothing to flush.
char const* const redirect = R"(
import io
import sys

class Raw(io.RawIOBase):
    def __init__(self, name, function):
        self.name = name
        self._function = function

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        if data:
            self._function(data)
        return len(data)

def redirect(stream, function):
    made = io.TextIOWrapper(
        Raw(f"<{stream}>", function),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )
    made.mode = "w"
    setattr(sys, stream, made)
    setattr(sys, f"__{stream}__", made)
)";

}  // namespace

void to(char const* stream, std::function<void(std::string_view)> const& function) {
    if (!function) {
        return;
    }
    auto const call = [function](py::object const& data) {
        std::string_view const text(PyBytes_AS_STRING(data.ptr()),
                                    static_cast<std::size_t>(PyBytes_GET_SIZE(data.ptr())));
        gil_release while_the_application_has_it;
        function(text);
    };
    py::dict names;
    names["__builtins__"] = py::import("builtins");
    names["__name__"] = "handoff.redirection";
    py::object const code =
        py::import("builtins").attr("compile")(redirect, "<handoff.redirection>", "exec");
    py::import("builtins").attr("exec")(code, names);
    names["redirect"](stream, py::make_function(call, py::default_call_policies(),
                                                boost::mpl::vector<void, py::object const&>()));
}

}  // namespace handoff::redirection
