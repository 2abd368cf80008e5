// event_loop: gives event_loop.py what it is made of, and runs it.
#include "event_loop.hpp"

#include "mailbox.hpp"

#include <boost/python/class.hpp>
#include <boost/python/dict.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/list.hpp>
#include <boost/python/scope.hpp>
#include <boost/python/tuple.hpp>

#include <memory>

extern char const* const handoff_event_loop;

namespace handoff {

namespace py = boost::python;

namespace {

// Owned, and guarded by the GIL. Not initialised by the code that makes them: that may let go of
// the GIL, and a second thread would wait, with the GIL, for the first to have initialised it.
PyObject* mailbox_class = nullptr;
PyObject* globals_of_event_loop = nullptr;

py::list take(mailbox& from) {
    py::list taken;
    for (auto const& each : from.take()) {
        taken.append(py::make_tuple(each.wait, each.reached));
    }
    return taken;
}

/// The globals of event_loop.py, which has run.
py::dict run() {
    py::dict globals;
    globals["Mailbox"] = py::object(py::handle<>(py::borrowed(mailbox_class)));
    globals["__name__"] = "Foo";
    py::object const builtins = py::import("builtins");
    builtins.attr("exec")(builtins.attr("compile")(handoff_event_loop, "<Foo>", "exec"), globals);
    return globals;
}

}  // namespace

void register_mailbox() {
    py::scope const nowhere{py::object()};
    py::object const made =
        py::class_<mailbox, std::shared_ptr<mailbox>, boost::noncopyable>("Mailbox")
            .def("fileno", &mailbox::descriptor)
            .def("take", &take);
    mailbox_class = Py_NewRef(made.ptr());
}

py::object from_event_loop(char const* name) {
    if (globals_of_event_loop == nullptr) {
        py::dict const made = run();
        if (globals_of_event_loop == nullptr) {  // no other thread was faster
            globals_of_event_loop = Py_NewRef(made.ptr());
        }
    }
    return py::object(py::handle<>(py::borrowed(globals_of_event_loop)))[name];
}

}  // namespace handoff
