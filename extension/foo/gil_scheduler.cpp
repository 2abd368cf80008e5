// The scheduler's ties to Python: attachment, the GIL, atexit and fork.
#include "gil_scheduler.hpp"

#include "ticker.hpp"
#include <handoff/gil.hpp>
#include <handoff/gil/detail/first_copy.hpp>
#include <handoff/gil/detail/interruptible_wait.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/handle.hpp>
#include <boost/python/import.hpp>
#include <boost/python/object.hpp>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <pthread.h>
#include <stop_token>
#include <utility>

namespace handoff {

namespace py = boost::python;

namespace {

constexpr char const* thread_name = "Foo";

/// For sys.addaudithook(). A hook that raises is reported, and the thread goes on.
void audit(char const* event) noexcept {
    if (PySys_Audit(event, "sk", thread_name, PyThread_get_thread_native_id()) != 0) {
        PyErr_WriteUnraisable(nullptr);
    }
}

/// Ends the child of a fork() whose main thread is one of the scheduler's, as multiprocessing ends
/// its children. Since 3.13 Python cannot be finalized there, because Py_FinalizeEx() requires the
/// thread state that was the parent's main one. GIL: held.
/// Source: CPython's Python/pylifecycle.c, resolve_final_tstate();
/// Lib/multiprocessing/popen_fork.py.
[[noreturn]] void end_child() {
    auto const report = [] { PyErr_WriteUnraisable(nullptr); };
    auto const attempt = [](auto const& step, auto const& otherwise) {
        try {
            step();
        } catch (py::error_already_set const&) {
            otherwise();
        }
    };
    attempt([] { py::import("threading").attr("_shutdown")(); }, report);
    attempt([] { py::import("atexit").attr("_run_exitfuncs")(); }, report);
    for (char const* const stream : {"stdout", "stderr"}) {  // None, closed, or a user's object
        attempt([&] { py::import("sys").attr(stream).attr("flush")(); }, PyErr_Clear);
    }
    std::_Exit(EXIT_SUCCESS);
}

/// One of the scheduler's threads, from its registration at the gate on. It acquires the GIL only
/// in its first turn: the thread that made it may hold what a holder of the GIL waits for.
void run_thread(scheduler::surroundings::work const& body) {
    gil_registration const registered(thread_name);
    if (!registered) {
        throw scheduler::scheduler_closed("Python is shutting down");
    }
    pthread_setname_np(pthread_self(), thread_name);
    std::stop_callback const at_the_end(registered.stop_token(),
                                        [] { gil_scheduler().begin_close(); });
    pid_t const process = getpid();
    body();
    if (gil_try_acquire to_tell; to_tell) {
        audit("handoff.thread_stop");
        if (getpid() != process) {
            // An on_message forked, and has returned: this is the child's main thread, and its
            // program is over.
            end_child();
        }
    }
}

bool take_turn(scheduler::surroundings::work const& deliveries) {
    static thread_local bool is_known = false;
    gil_label const label("Foo delivers");
    gil_try_acquire to_deliver;
    if (!to_deliver) {
        return false;
    }
    if (!std::exchange(is_known, true)) {
        audit("handoff.thread_start");
    }
    deliveries();
    return true;
}

}  // namespace

namespace detail {

/// Visible, so that all modules of a process that contain this code share one scheduler: a user's
/// module that links handoff::foo has its own copy of the code, besides module Foo's.
// NOLINTBEGIN(misc-use-internal-linkage): one for all modules of the process
[[gnu::visibility("default")]] inline constinit std::atomic<scheduler*> only_scheduler = nullptr;
// NOLINTEND(misc-use-internal-linkage)

}  // namespace detail

namespace {

std::atomic<scheduler*>& only_scheduler = detail::first_copy_of(detail::only_scheduler);

}  // namespace

scheduler& gil_scheduler() {
    scheduler* only = only_scheduler;
    if (only == nullptr) {
        auto made = std::make_unique<scheduler>(scheduler::surroundings{
            .thread = &run_thread, .turn = &take_turn, .held_by_caller = &gil_held});
        if (only_scheduler.compare_exchange_strong(only, made.get())) {
            only = made.release();
        }
    }
    return *only;
}

namespace {

/// In fork() itself, not in Python's fork hooks: those are Python code, which must not run while
/// the scheduler's mutex is held.
void tie_to_fork() {
    static constinit std::atomic<bool> tied = false;
    if (!tied.exchange(true) &&
        pthread_atfork([] { gil_scheduler().before_fork(); },
                       [] { gil_scheduler().after_fork_in_parent(); },
                       [] { gil_scheduler().after_fork_in_child(); }) != 0) {
        tied = false;
        throw std::bad_alloc();
    }
}

/// What an abandoned thread was doing, for stderr.
py::object description(scheduler::abandoned_delivery const& abandoned) {
    try {
        if (abandoned.of != nullptr) {
            auto const& stuck = static_cast<ticker const&>(*abandoned.of);
            return stuck.delivery_in_progress();
        }
    } catch (py::error_already_set const&) {
        PyErr_WriteUnraisable(nullptr);  // a user's repr() raised
    }
    return py::object(abandoned.of != nullptr ? "on_message of a Foo"
                                              : "a finalizer of a Foo that was dropped");
}

static_assert(scheduler::close_grace.count() == 2 && callback_grace.count() == 10);  // said below

void tell(scheduler::ending const& lost, bool interrupted) {
    if (lost.given_up > 0) {
        PySys_WriteStderr(
            "Foo: at exit, %zu Foo(s) had messages due that could not be delivered %s; "
            "they were given up\n",
            lost.given_up, interrupted ? "before Ctrl-C" : "within 2 s");
    }
    for (auto const& each : lost.abandoned) {
        bool const behind = each.of != nullptr && static_cast<ticker const&>(*each.of).behind();
        PySys_FormatStderr("Foo: at exit, %S had not returned %s; it is abandoned%s\n",
                           description(each).ptr(), interrupted ? "at Ctrl-C" : "within 10 s",
                           behind ? ", and so are the messages due since" : "");
    }
}

/// The atexit function. Ctrl-C ends the wait for a callback that does not return, as it ends
/// Python's own wait for its threads.
void close_at_exit() {
    scheduler& closed = gil_scheduler();
    auto const deadline = scheduler::clock::now() + callback_grace;
    closed.begin_close();
    auto const end = detail::interruptible_wait(
        deadline, [&](auto until) { return closed.await_close(until - scheduler::clock::now()); });
    bool const interrupted = end == detail::wait_end::interrupted;
    py::handle<> const interruption(
        py::allow_null(interrupted ? take_raised_exception() : nullptr));
    auto const lost = [&] {
        gil_release while_joining;
        return closed.join();
    }();
    for (auto const& each : lost.abandoned) {
        gil_gate::abandon(each.thread);
    }
    tell(lost, interrupted);
    if (interruption) {
        PyErr_SetObject(PyExceptionInstance_Class(interruption.get()), interruption.get());
        throw py::error_already_set();
    }
}

/// The same as a Python function; its name explains an error where Python names what raised.
PyObject* stop_every_foo(PyObject* /*module*/, PyObject* /*arguments*/) {
    return py::handle_exception(&close_at_exit) ? nullptr : Py_NewRef(Py_None);
}

}  // namespace

namespace {

/// The module threading, from the thread that first makes the connection.
constinit gil_once<py::object> tied;

py::object tie() {
    gil_scheduler();  // made here, where it may fail

    // Here rather than at the first error: its first import decides which thread is the main one.
    py::object const threads = py::import("threading");

    // First, so that it closes after the scheduler.
    if (!gil_gate::open()) {
        throw py::error_already_set();
    }
    tie_to_fork();
    static PyMethodDef at_exit = {
        .ml_name = "stop_every_Foo",
        .ml_meth = &stop_every_foo,
        .ml_flags = METH_NOARGS,
        .ml_doc = "Delivers what is due, and ends the threads of module Foo."};
    py::import("atexit").attr("register")(
        py::object(py::handle<>(PyCFunction_New(&at_exit, nullptr))));
    return threads;
}

}  // namespace

py::object threading() { return tied.get(tie); }

void tie_scheduler_to_interpreter() { static_cast<void>(tied.get(tie)); }

}  // namespace handoff
