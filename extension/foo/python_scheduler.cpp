// The scheduler's ties to Python: attachment, the GIL, atexit and fork.
#include "python_scheduler.hpp"

#include <handoff/gil.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/import.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/object.hpp>

#include <pthread.h>

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

/// Inside fork() itself, with no Python code before or after: what holds the scheduler's mutex
/// must not run any, and Python's own fork hooks are such code.
void tie_to_fork() {
    pthread_atfork([] { python_scheduler().before_fork(); },
                   [] { python_scheduler().after_fork_in_parent(); },
                   [] { python_scheduler().after_fork_in_child(); });
}

/// The atexit function. Ctrl-C ends the wait for a callback that does not return, as it ends
/// Python's own wait for its threads.
void close_at_exit() {
    scheduler& closed = python_scheduler();
    closed.begin_close();
    for (bool all_idle = false; !all_idle;) {
        {
            gil_release while_waiting;
            all_idle = closed.await_close(signal_check);
        }
        if (!all_idle && PyErr_CheckSignals() != 0) {
            PySys_WriteStderr("Foo: interrupted while an on_message was in progress at exit\n");
            throw boost::python::error_already_set();
        }
    }
    std::size_t const given_up = [&] {
        gil_release while_joining;
        return closed.join();
    }();
    if (given_up > 0) {
        PySys_WriteStderr(
            "Foo: at exit, %zu Foo(s) had messages due that could not be delivered within %lld s; "
            "they were given up\n",
            given_up, static_cast<long long>(scheduler::close_grace.count()));
    }
}

}  // namespace

void tie_scheduler_to_interpreter() {
    namespace py = boost::python;

    static bool tied = false;  // guarded by the GIL
    if (tied) {
        return;
    }
    tied = true;

    // Here rather than at the first error: its first import decides which thread is the main one.
    py::import("threading");

    py::import("atexit").attr("register")(py::make_function(&close_at_exit));

    tie_to_fork();
}

}  // namespace handoff
