// foo: checks, then asks the scheduler, with the GIL released.
#include "gil_scheduler.hpp"
#include "posted_wait.hpp"
#include "raise.hpp"
#include "ticker.hpp"
#include <handoff/foo.hpp>
#include <handoff/gil.hpp>
#include <handoff/gil/detail/interruptible_wait.hpp>

#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>

#include <cmath>
#include <stdexcept>
#include <string>
#include <system_error>

namespace handoff {

namespace py = boost::python;

namespace {

/// As Python writes a float: the shortest text that reads back as the same number.
std::string repr(double number) {
    return py::extract<std::string>(py::object(
        py::handle<>(PyObject_Repr(py::object(py::handle<>(PyFloat_FromDouble(number))).ptr()))));
}

foo::seconds checked(foo::seconds interval) {
    static constexpr foo::seconds clock_tick = scheduler::clock::duration(1);
    double const number = interval.count();
    if (!std::isfinite(number) || number <= 0) {
        throw std::invalid_argument("interval must be a positive, finite number of seconds, not " +
                                    repr(number));
    }
    if (interval < clock_tick) {
        throw std::invalid_argument("interval must be at least the clock's resolution, " +
                                    repr(clock_tick.count()) + " s, not " + repr(number));
    }
    if (interval > foo::longest_interval) {
        throw std::invalid_argument("interval must be at most " +
                                    repr(foo::longest_interval.count()) + " s, not " +
                                    repr(number));
    }
    return interval;
}

boost::intrusive_ptr<ticker> make_ticker(foo::seconds interval, py::object const& on_message) {
    foo::seconds const allowed = checked(interval);
    if (!on_message.is_none() && PyCallable_Check(on_message.ptr()) == 0) {
        raise(PyExc_TypeError, "on_message must be callable or None, not %.80R", on_message.ptr());
    }
    tie_scheduler_to_interpreter();
    return new ticker(allowed, on_message);
}

/// Ends the run and waits for its end; calls look() now and then.
template <class Look>
void stop_and_look(ticker& stopped, Look look) {
    scheduler& its = gil_scheduler();
    bool ended = its.begin_stop(stopped);
    while (!ended) {
        look();
        gil_release while_waiting;
        ended = its.await_stop(stopped, detail::signal_check);
    }
}

}  // namespace

foo::foo(seconds interval, py::object const& on_message)
    : ticker_(make_ticker(interval, on_message)) {}

foo::~foo() {
    // With the GIL, if it can be acquired: so no on_message begins after this.
    gil_try_acquire to_drop;
    gil_scheduler().cut(*ticker_);
    ticker_.reset();
}

void foo::start() {
    static constexpr auto refusal = "cannot start this Foo: ";
    scheduler& its = gil_scheduler();
    try {
        if (ticker_->has_callback() && gil_held()) {
            ticker_->renew_callback();
        }
        if (!its.ready()) {
            gil_release while_making_a_thread;
            its.get_ready();
        }
        its.start(*ticker_);
    } catch (scheduler::task_running const&) {
        throw std::runtime_error(std::string(refusal) + "it is running already; stop() it first");
    } catch (scheduler::scheduler_closed const&) {
        throw std::runtime_error(std::string(refusal) + "Python is shutting down");
    } catch (std::system_error const& failure) {
        throw std::runtime_error(std::string(refusal) + "no thread can be made (" + failure.what() +
                                 ")");
    }
}

void foo::stop() noexcept {
    stop_and_look(*ticker_, [] {});
}

void foo::stop_or_raise() {
    stop_and_look(*ticker_, [] {
        if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set();
        }
    });
}

int foo::traverse(visitproc visit, void* argument) const {
    return ticker_->traverse(visit, argument);
}

void foo::clear() { ticker_->clear(); }

bool foo::running() const noexcept { return gil_scheduler().running(*ticker_); }

foo::seconds foo::interval() const noexcept { return ticker_->interval(); }

py::list foo::messages() const { return ticker_->messages(); }

py::object foo::error() const { return ticker_->error(); }

bool foo::wait(Py_ssize_t count, std::optional<std::chrono::nanoseconds> timeout) {
    return ticker_->wait(count, timeout);
}

std::pair<std::uint64_t, std::shared_ptr<void>> foo::post_when_delivered(
    Py_ssize_t count, std::shared_ptr<mailbox> to) {
    auto wait = std::make_shared<posted_wait>(ticker_, count, std::move(to));
    return {wait->number(), wait};
}

}  // namespace handoff
