// The scheduler's ties to Python: attachment, the GIL, atexit and fork.
#include "python_scheduler.hpp"

#include <handoff/gil.hpp>
#include <handoff/gil/without_gil.hpp>

#include <boost/python/dict.hpp>
#include <boost/python/import.hpp>
#include <boost/python/object.hpp>
#include <boost/python/tuple.hpp>

namespace handoff {

scheduler& python_scheduler() {
    static auto& only = *new scheduler({
        .thread =
            [](auto const& body) {
                gil_attachment attached;
                body();
            },
        .turn =
            [](auto const& deliveries) {
                gil_acquire to_deliver;
                deliveries();
            },
    });
    return only;
}

namespace {

void close_at_exit() {
    std::size_t const given_up = python_scheduler().close();
    if (given_up > 0) {
        gil_acquire to_write;
        PySys_WriteStderr(
            "Foo: at exit, %zu Foo(s) had messages due that could not be delivered within %lld s; "
            "they were given up\n",
            given_up, static_cast<long long>(scheduler::close_grace.count()));
    }
}

}  // namespace

void tie_scheduler_to_interpreter() {
    namespace py = boost::python;

    // Here rather than at the first error: its first import decides which thread is the main one.
    py::import("threading");

    py::import("atexit").attr("register")(without_gil(&close_at_exit));

    // With the GIL, so that no delivery is in the middle of a list when the process is copied.
    py::dict hooks;
    hooks["before"] = py::make_function(+[] { python_scheduler().before_fork(); });
    hooks["after_in_parent"] =
        py::make_function(+[] { python_scheduler().after_fork_in_parent(); });
    hooks["after_in_child"] = py::make_function(+[] { python_scheduler().after_fork_in_child(); });
    py::object const register_at_fork = py::import("os").attr("register_at_fork");
    py::handle<> const done(PyObject_Call(register_at_fork.ptr(), py::tuple().ptr(), hooks.ptr()));
}

}  // namespace handoff
