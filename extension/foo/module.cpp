// Module Foo: the table of contents. <handoff/foo.hpp> describes each entry.
#include "arguments.hpp"
#include "collection.hpp"
#include "event_loop.hpp"
#include "gil_scheduler.hpp"
#include "mailbox.hpp"
#include "raise.hpp"
#include <handoff/boost_python/detail/instance.hpp>
#include <handoff/boost_python/fast.hpp>
#include <handoff/boost_python/shared_ptr.hpp>
#include <handoff/foo.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/detail/unwinding.hpp>

#include <boost/python.hpp>
#include <boost/python/raw_function.hpp>

#include <array>
#include <memory>

namespace py = boost::python;
using handoff::fast;
using handoff::foo;
// Around everything that may run Python code (__index__, __repr__, an audit hook): Boost.Python
// calls it inside a catch (...), and a daemon thread may be in that code when Python ends.
using handoff::detail::rather_hang;
using handoff::detail::refuse_free_threaded_python;

namespace {

py::object after_self(py::tuple const& arguments) { return arguments.slice(1, py::slice_nil()); }

/// Foo.__init__(self, interval=1.0, on_message=print)
py::object constructor() {
    static constexpr handoff::parameters<2> expected{.format = "|OO:Foo",
                                                     .names = {"interval", "on_message"}};
    return py::raw_function(
        [second = py::object(1.0), print = py::object(py::import("builtins").attr("print"))](
            py::tuple const& arguments, py::dict const& keywords) {
            return rather_hang([&] {
                handoff::detail::refuse_unless_new<foo>(arguments[0]);
                auto const [interval, on_message] =
                    expected.match(after_self(arguments), keywords, {second.ptr(), print.ptr()});
                py::detail::install_holder<std::shared_ptr<foo>> const install(arguments.ptr());
                install(
                    std::make_shared<foo>(handoff::seconds_from(interval, "interval"), on_message));
                // No message comes after it was dropped, on any thread.
                handoff::detail::have_it_die_where_it_is_dropped(py::object(arguments[0]).ptr());
                return py::object();
            });
        },
        1);
}

/// Foo.wait(self, count, timeout=None)
py::object wait(py::tuple const& arguments, py::dict const& keywords) {
    static constexpr handoff::parameters<2> expected{.format = "O|O:wait",
                                                     .names = {"count", "timeout"}};
    return rather_hang([&] {
        auto const [count, timeout] =
            expected.match(after_self(arguments), keywords, {Py_None, Py_None});
        foo& self = py::extract<foo&>(arguments[0])();
        return py::object(
            self.wait(handoff::integer_from(count, "count", 0), handoff::timeout_from(timeout)));
    });
}

/// Begins a wait whose end is posted. Returns its number, and the object that keeps it.
py::tuple begin_wait(foo& awaited, Py_ssize_t count, handoff::mailbox& to) {
    auto const [number, kept] = awaited.post_when_delivered(count, to.shared_from_this());
    static constexpr auto drop = [](PyObject* capsule) {
        delete static_cast<std::shared_ptr<void>*>(PyCapsule_GetPointer(capsule, nullptr));
    };
    auto owned = std::make_unique<std::shared_ptr<void>>(kept);
    py::object const capsule{py::handle<>(PyCapsule_New(owned.get(), nullptr, drop))};
    static_cast<void>(owned.release());
    return py::make_tuple(number, capsule);
}

/// Foo.wait_async(self, count)
py::object wait_async(py::object const& self, py::object const& count) {
    return rather_hang([&] {
        Py_ssize_t const checked = handoff::integer_from(count, "count", 0);
        return handoff::from_event_loop("wait")(py::make_function(&begin_wait), self, checked);
    });
}

py::object iterate(py::object const& self) {
    return rather_hang(
        [&] { return handoff::from_event_loop("iterate")(py::make_function(&begin_wait), self); });
}

/// Raises the audit event Foo.start, whose hook may refuse.
// NOLINTNEXTLINE(performance-unnecessary-value-param): Boost.Python makes it by value only
void start(py::back_reference<foo&> self) {
    rather_hang([&] {
        if (PySys_Audit("Foo.start", "O", self.source().ptr()) != 0) {
            throw py::error_already_set();
        }
    });
    self.get().start();
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): as above
py::object enter_context(py::back_reference<foo&> self) {
    start(self);
    return self.source();
}

void exit_context(foo& self, py::object const&, py::object const&, py::object const&) {
    self.stop_or_raise();
}

double interval(foo const& self) { return self.interval().count(); }

Py_ssize_t length(foo const& self) { return py::len(self.messages()); }

py::object represent(py::object const& self) {
    return rather_hang([&]() -> py::object {
        foo& it = py::extract<foo&>(self)();
        // Looked up before the tuple exists: Python code that runs meanwhile could see it
        // incomplete.
        py::object const module = self.attr("__class__").attr("__module__");
        py::object const name = self.attr("__class__").attr("__qualname__");
        return "<%s.%s interval=%r %s messages=%d>" %
               py::make_tuple(module, name, interval(it), it.running() ? "running" : "stopped",
                              length(it));
    });
}

void refuse_copy(py::object const& self, py::object const&) {
    rather_hang([&] {
        handoff::raise(PyExc_TypeError,
                       "cannot copy or pickle %.80R: it runs in this process; make another Foo, "
                       "and copy its messages",
                       self.ptr());
    });
}

void fill_module() {
    handoff::tie_scheduler_to_interpreter();  // before the classes, which are registered only once

    py::docstring_options const ours_only(true, false, false);
    py::scope().attr("__version__") = HANDOFF_VERSION;
    py::scope().attr("__doc__") =
        "Native workers that append to Python lists, beside Python.\n\n"
        "    from Foo import Foo\n\n"
        "    f = Foo(interval=1.0)\n"
        "    f.start()           # prints 0, 1, 2 ... once a second\n"
        "    f.wait(3)           # until three messages are there\n"
        "    f.stop()            # at once; none follows\n"
        "    f.messages          # [0, 1, 2]\n";

    py::class_<foo, std::shared_ptr<foo>, boost::noncopyable> foo_class(
        "Foo",
        "Foo(interval=1.0, on_message=print)\n\n"
        "Append the next integer to `messages`, at once on start() and then every `interval`\n"
        "seconds, on a native thread, and call on_message(n) after each; None calls nothing.\n\n"
        "The rate is fixed: message n is due at start + n * interval, and comes at most a\n"
        "hundredth of the interval (10 ms) and one wait for the GIL later. What falls due while\n"
        "Python is busy is delivered as soon as the GIL can be had. Of a Foo that is dropped no\n"
        "message comes any more; one that still runs when Python exits is stopped in order.\n\n"
        "An exception in on_message ends the Foo, goes to threading.excepthook, and is kept in\n"
        "`error`.",
        py::no_init);
    foo_class.def("__init__", constructor())
        .def("start", &start,
             "start() -> None\n\n"
             "Begin: a message at once, then one every interval; without an on_message the first\n"
             "is there when it returns. Goes on counting after a stop().\n"
             "RuntimeError when it is running, when Python is shutting down, or when there is no\n"
             "memory for a thread.")
        .def("stop", &foo::stop_or_raise,
             "stop() -> None\n\n"
             "End: when it returns no message follows and no on_message is in progress. What is\n"
             "late by then is delivered first: within 1 s that begins, and then goes on for at\n"
             "most 0.1 s. From any thread; does nothing when stopped; within on_message that\n"
             "message is the last.")
        .def("wait", py::raw_function(&wait, 1),
             "wait(count, timeout=None) -> bool\n\n"
             "Wait until `count` messages have been delivered, on_message included, or `timeout`\n"
             "seconds have passed, or the Foo has stopped. Whether they were delivered.")
        .def("wait_async", &wait_async, py::args("self", "count"),
             "wait_async(count) -> asyncio.Future[bool]\n\n"
             "As `await foo.wait_async(count)`, wait() for a coroutine: other tasks go on. For at\n"
             "most some seconds: within `async with asyncio.timeout(seconds)`.\n"
             "RuntimeError without a running event loop.")
        .def(
            "__aiter__", &iterate,
            "For `async for n in foo`: the messages from the first on, and each that comes, until\n"
            "the Foo has stopped.")
        .add_property("running", fast(&foo::running),
                      "Whether it was started, and neither stopped nor ended by an error.")
        .add_property("interval", fast(&interval), "Seconds from one message to the next.")
        .add_property("messages", fast(&foo::messages), "The live list of the integers so far.")
        .add_property("error", fast(&foo::error),
                      "The exception that ended the last run, or None. start() clears it.")
        .def("__enter__", &enter_context, "start(), and the Foo itself.")
        .def("__exit__", &exit_context, "stop().")
        .def("__len__", fast(&length), "How many messages there are.")
        .def("__repr__", &represent)
        .def("__reduce_ex__", &refuse_copy);

    handoff::drop_shared_ptr_anywhere<foo>();
    handoff::make_collectable(*reinterpret_cast<PyTypeObject*>(foo_class.ptr()));

    // Boost.Python's properties do not know their names, so their errors could not show them.
    for (char const* const name : {"running", "interval", "messages", "error"}) {
        py::object const property = foo_class.attr(name);
        if (PyObject_HasAttrString(property.ptr(), "__set_name__") != 0) {
            property.attr("__set_name__")(py::object(foo_class), name);
        }
    }
}

/// Foo lives in one interpreter: Boost.Python has one registry of types per process, and the
/// scheduler has one thread state per thread.
bool refuse_interpreter() {
    char const* why = nullptr;
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        why =
            "Foo can be imported in the main interpreter only, and this is a subinterpreter: "
            "Boost.Python has one registry of types for the whole process";
    }
    if (why != nullptr) {
        py::handle<> const text(py::allow_null(PyUnicode_FromString(why)));
        py::handle<> const name(py::allow_null(PyUnicode_FromString("Foo")));
        if (text && name) {
            PyErr_SetImportError(text.get(), name.get(), nullptr);
        }
    }
    return why != nullptr;
}

/// Runs at every import that finds no Foo in sys.modules.
int execute(PyObject* module) {
    static PyObject* first = nullptr;  // guarded by the import lock of this name
    if (refuse_interpreter()) {
        return -1;
    }
    if (first != nullptr) {
        // A class is registered with Boost.Python only once: a second module shares the first's.
        return PyDict_Update(PyModule_GetDict(module), PyModule_GetDict(first));
    }
    bool const failed = py::handle_exception([module] {
        py::object const filled{py::handle<>(py::borrowed(module))};
        py::scope const within(filled);
        fill_module();
    });
    if (failed) {
        return -1;
    }
    first = Py_NewRef(module);
    return 0;
}

}  // namespace

/// Like BOOST_PYTHON_MODULE, but with two-phase initialisation: of a module with a single phase, a
/// subinterpreter would silently get a copy. Source: PEP 489, PEP 684.
PyObject* PyInit_Foo() {
    if (refuse_free_threaded_python()) {
        return nullptr;
    }
    static std::array slots = {
        PyModuleDef_Slot{.slot = Py_mod_exec, .value = reinterpret_cast<void*>(&execute)},
#if PY_VERSION_HEX >= 0x030C0000
        // So that Python does not refuse: execute() does, and says why.
        PyModuleDef_Slot{.slot = Py_mod_multiple_interpreters,
                         .value = Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
        PyModuleDef_Slot{.slot = Py_mod_gil, .value = Py_MOD_GIL_NOT_USED},
#endif
        PyModuleDef_Slot{.slot = 0, .value = nullptr},
    };
    static PyModuleDef definition = {.m_base = PyModuleDef_HEAD_INIT,
                                     .m_name = "Foo",
                                     .m_doc = nullptr,
                                     .m_size = 0,
                                     .m_methods = nullptr,
                                     .m_slots = slots.data(),
                                     .m_traverse = nullptr,
                                     .m_clear = nullptr,
                                     .m_free = nullptr};
    return PyModuleDef_Init(&definition);
}
