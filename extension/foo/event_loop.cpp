// event_loop: gives event_loop.py what it is made of, and runs it once.
#include "event_loop.hpp"

#include "mailbox.hpp"
#include <handoff/foo.hpp>

#include <boost/python/class.hpp>
#include <boost/python/dict.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/list.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/scope.hpp>
#include <boost/python/tuple.hpp>

#include <memory>

extern char const* const handoff_event_loop;

namespace handoff {

namespace py = boost::python;

namespace {

py::list take(mailbox& from) {
    py::list taken;
    for (auto const& each : from.take()) {
        taken.append(py::make_tuple(each.wait, each.reached));
    }
    return taken;
}

/// The number of the wait, and what keeps it.
py::tuple begin(foo& awaited, Py_ssize_t count, std::shared_ptr<mailbox> const& to) {
    auto const [number, kept] = awaited.post_when_delivered(count, to);
    static constexpr auto drop = [](PyObject* capsule) {
        delete static_cast<std::shared_ptr<void>*>(PyCapsule_GetPointer(capsule, nullptr));
    };
    auto owned = std::make_unique<std::shared_ptr<void>>(kept);
    py::object const capsule{py::handle<>(PyCapsule_New(owned.get(), nullptr, drop))};
    static_cast<void>(owned.release());
    return py::make_tuple(number, capsule);
}

/// The globals of event_loop.py, which has run.
py::dict run() {
    py::dict globals;
    py::scope const nowhere{py::object()};
    globals["Mailbox"] =
        py::class_<mailbox, std::shared_ptr<mailbox>, boost::noncopyable>("Mailbox")
            .def("fileno", &mailbox::descriptor)
            .def("take", &take);
    globals["begin"] = py::make_function(&begin);
    globals["__name__"] = "Foo";
    py::object const builtins = py::import("builtins");
    builtins.attr("exec")(builtins.attr("compile")(handoff_event_loop, "<Foo>", "exec"), globals);
    return globals;
}

}  // namespace

py::object from_event_loop(char const* name) {
    static auto& globals = *new py::dict(run());  // guarded by the GIL
    return globals[name];
}

}  // namespace handoff
