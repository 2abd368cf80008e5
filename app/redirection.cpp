// redirection: a raw stream in Python, which calls the function, under Python's own text stream.
#include "redirection.hpp"

#include <handoff/gil/release.hpp>

#include <boost/python/call.hpp>
#include <boost/python/dict.hpp>
#include <boost/python/import.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/object.hpp>

#include <boost/mpl/vector.hpp>

#include <string>
#include <thread>

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

/// Those of the calling thread: one may write within another.
thread_local unsigned calls_of_this_thread = 0;

class end_of_call {
public:
    explicit end_of_call(calls& of) noexcept : of_(of) {}
    ~end_of_call() { of_.end(); }
    end_of_call(end_of_call const&) = delete;
    end_of_call& operator=(end_of_call const&) = delete;

private:
    calls& of_;
};

}  // namespace

void calls::begin() noexcept {
    ++calls_of_this_thread;
    ++in_progress_;
}

void calls::end() noexcept {
    --calls_of_this_thread;
    --in_progress_;
}

bool calls::await_end(std::chrono::steady_clock::time_point deadline) const {
    while (in_progress_ > 0) {
        if (std::chrono::steady_clock::now() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

void calls::forget_other_threads() noexcept { in_progress_ = calls_of_this_thread; }

void to(char const* stream, std::function<void(std::string_view)> const& function,
        std::shared_ptr<calls> const& counted) {
    if (!function) {
        return;
    }
    auto const call = [function, counted](py::object const& data) {
        // Copies, because Python may end, and drop the originals, while a daemon thread is here.
        auto const called = function;
        auto const in_progress = counted;  // NOLINT(performance-unnecessary-copy-initialization)
        std::string const text(PyBytes_AS_STRING(data.ptr()),
                               static_cast<std::size_t>(PyBytes_GET_SIZE(data.ptr())));
        // Counted with the GIL held: after Python's end no further one begins.
        in_progress->begin();
        gil_release while_the_application_has_it;
        end_of_call const ends(*in_progress);  // before the GIL is waited for again
        called(text);
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
