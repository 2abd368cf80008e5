// event_loop: passes event_loop.py the functions that it uses, and runs it.
#include "event_loop.hpp"

#include "coroutine_runs.hpp"
#include "mailbox.hpp"
#include "reading_thread.hpp"
#include "result_wait.hpp"
#include <handoff/gil/detail/first_copy.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/once.hpp>

#include <boost/python/class.hpp>
#include <boost/python/converter/registered.hpp>
#include <boost/python/dict.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/list.hpp>
#include <boost/python/make_constructor.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/scope.hpp>
#include <boost/python/tuple.hpp>

#include <cerrno>
#include <memory>
#include <system_error>

extern char const* const handoff_event_loop;

namespace handoff {

namespace py = boost::python;

namespace detail {

/// Default visibility: all modules of a process that contain this code share them.
// NOLINTNEXTLINE(misc-use-internal-linkage): one for all modules of the process
[[gnu::visibility("default")]] inline constinit gil_once<py::object> globals_of_event_loop;

}  // namespace detail

namespace {

gil_once<py::object>& globals_of_event_loop = detail::first_copy_of(detail::globals_of_event_loop);

/// Raises: OSError if the process has no file descriptor left.
std::shared_ptr<mailbox> make_mailbox() {
    try {
        return std::make_shared<mailbox>();
    } catch (std::system_error const& error) {
        errno = error.code().value();
        PyErr_SetFromErrno(PyExc_OSError);
        throw py::error_already_set();
    }
}

py::list take(mailbox& from) {
    py::list taken;
    for (auto const& each : from.take()) {
        taken.append(py::make_tuple(each.wait, each.reached));
    }
    return taken;
}

py::object dies_where_dropped(py::object const& its) {
    detail::have_it_die_where_it_is_dropped(its.ptr());
    return its;
}

/// The mailbox class that this code's Boost.Python knows; null if it knows none.
PyTypeObject* known_class_of_mailboxes() {
    return py::converter::registered<mailbox>::converters.m_class_object;
}

/// The classes are registered once, even if the file failed before and runs again.
py::object class_of_mailboxes() {
    if (auto* const known = known_class_of_mailboxes()) {
        return py::object(py::handle<>(py::borrowed(reinterpret_cast<PyObject*>(known))));
    }
    register_result_waits();
    register_coroutine_runs();
    py::scope const nowhere{py::object()};
    return py::class_<mailbox, std::shared_ptr<mailbox>, boost::noncopyable>("Mailbox", py::no_init)
        .def("__init__", py::make_constructor(&make_mailbox))
        .def("fileno", &mailbox::descriptor)
        .def("take", &take);
}

/// The globals of event_loop.py, which has run.
py::object run() {
    py::dict globals;
    globals["Mailbox"] = class_of_mailboxes();
    globals["read_on_thread"] = py::make_function(&read_on_thread);
    globals["dies_where_dropped"] = py::make_function(&dies_where_dropped);
    globals["__name__"] = "handoff";
    py::object const builtins = py::import("builtins");
    builtins.attr("exec")(builtins.attr("compile")(handoff_event_loop, "<handoff>", "exec"),
                          globals);
    return globals;
}

}  // namespace

py::object from_event_loop(char const* name) {
    py::object const& shared = globals_of_event_loop.get(run);
    if (known_class_of_mailboxes() != nullptr) {
        return shared[name];
    }
    // A module with another Boost.Python made the shared ones; this code's does not know them.
    static constinit gil_once<py::object> own;
    return own.get(run)[name];
}

}  // namespace handoff
