// foo: checks, then asks the scheduler, with the GIL released.
#include <handoff/foo.hpp>

#include <handoff/gil.hpp>

#include "python_scheduler.hpp"
#include "ticker.hpp"

#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace handoff {

namespace py = boost::python;

namespace {

/// As Python writes a float: the shortest text that reads back as the same number.
std::string repr(double number) {
    return py::extract<std::string>(py::object(py::handle<>(
        PyObject_Repr(py::object(py::handle<>(PyFloat_FromDouble(number))).ptr()))));
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

py::object const& checked(py::object const& on_message) {
    if (!on_message.is_none() && PyCallable_Check(on_message.ptr()) == 0) {
        PyErr_Format(PyExc_TypeError, "on_message must be callable or None, not %R",
                     on_message.ptr());
        throw py::error_already_set();
    }
    return on_message;
}

}  // namespace

foo::foo(seconds interval, py::object const& on_message)
    : ticker_(std::make_shared<ticker>(checked(interval), checked(on_message))) {}

foo::~foo() { stop(); }

void foo::start() {
    gil_acquire for_the_error;
    py::object last_error;
    std::swap(last_error, ticker_->error());
    try {
        gil_release while_starting;
        python_scheduler().start(*ticker_);
    } catch (std::exception const& failure) {
        std::swap(last_error, ticker_->error());
        throw std::runtime_error(std::string("cannot start this Foo: ") + failure.what());
    }
}

void foo::stop() noexcept {
    gil_release while_waiting;
    python_scheduler().stop(*ticker_);
}

bool foo::running() const noexcept { return python_scheduler().running(*ticker_); }

foo::seconds foo::interval() const noexcept { return ticker_->interval(); }

py::list foo::messages() const { return ticker_->messages(); }

py::object foo::error() const { return ticker_->error(); }

bool foo::wait(Py_ssize_t count, std::optional<std::chrono::microseconds> timeout) {
    return ticker_->wait(count, timeout);
}

}  // namespace handoff
