// The part of a channel's Python class that is the same for all types of values.
#include "arguments.hpp"
#include "raise.hpp"
#include <handoff/channel/consumer.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/detail/interruptible_wait.hpp>
#include <handoff/gil/detail/made_once.hpp>
#include <handoff/gil/once.hpp>

#include <boost/python.hpp>

#include <boost/core/demangle.hpp>

#include <algorithm>
#include <array>
#include <mutex>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace py = boost::python;

namespace {

struct named_policy {
    char const* name;
    when_full policy;
};
constexpr std::array policies{named_policy{.name = "block", .policy = when_full::block},
                              named_policy{.name = "drop_oldest", .policy = when_full::drop_oldest},
                              named_policy{.name = "refuse", .policy = when_full::refuse}};

using channel_ends = std::vector<std::weak_ptr<channel_end>>;

/// Guards the channels to close at exit.
constinit gil_exclusion guard_of_ends;

/// REQUIRES: its guard is locked. Never destroyed.
channel_ends& open_ends() {
    static constinit channel_ends* only = nullptr;
    if (only == nullptr) {
        only = new channel_ends();
    }
    return *only;
}

void close_all() {
    channel_ends ends;
    {
        std::scoped_lock const alone(guard_of_ends);
        ends.swap(open_ends());
    }
    for (auto const& each : ends) {
        if (auto const end = each.lock()) {
            end->close_to_producers();  // a daemon thread that waits keeps waiting
        }
    }
}

bool have_all_closed_at_exit() {
    py::import("atexit").attr("register")(py::make_function(&close_all));
    return true;
}

#if PY_VERSION_HEX < 0x030D0000
PyObject* make_shut_down_class() {
    return PyErr_NewExceptionWithDoc(
        "handoff.ShutDown", "The channel is closed, and empty: queue.ShutDown.", nullptr, nullptr);
}
#endif

}  // namespace

std::ptrdiff_t capacity_from(py::object const& value) { return integer_from(value, "capacity", 1); }

std::size_t max_from(py::object const& value) {
    return static_cast<std::size_t>(integer_from(value, "max", 1));
}

when_full policy_from(py::object const& value) {
    py::extract<std::string> const name(value);
    if (name.check()) {
        for (auto const& each : policies) {
            if (name() == each.name) {
                return each.policy;
            }
        }
    }
    raise(name.check() ? PyExc_ValueError : PyExc_TypeError,
          "when_full must be 'block', 'drop_oldest' or 'refuse', not %.80R", value.ptr());
}

std::optional<std::chrono::nanoseconds> timeout_from(py::object const& value) {
    auto const timeout = handoff::timeout_from(value);
    if (timeout && timeout->count() < 0) {
        raise(PyExc_ValueError, "timeout must be a non-negative number of seconds, not %.80R",
              value.ptr());
    }
    return timeout;
}

char const* name_of(when_full policy) noexcept {
    return std::ranges::find(policies, policy, &named_policy::policy)->name;
}

py::object empty_class() { return py::import("queue").attr("Empty"); }

py::object shut_down_class() {
#if PY_VERSION_HEX >= 0x030D0000
    return py::import("queue").attr("ShutDown");
#else
    PyObject* const only = made_once<&make_shut_down_class>();
    return py::object(py::handle<>(py::borrowed(py::expect_non_null(only))));
#endif
}

void raise_shut_down() {
    raise(shut_down_class().ptr(),
          "the channel is closed, and all that was pushed before has been got");
}

void raise_stop_async_iteration() {
    PyErr_SetNone(PyExc_StopAsyncIteration);
    throw py::error_already_set();
}

void raise_waits_for_itself() {
    raise(PyExc_RuntimeError,
          "a value's conversion waits for the end of the channel that the value came from, which "
          "cannot end before the conversion has: take no more from a closed channel there");
}

void raise_no_converter(std::type_info const& of) {
    std::string const name = boost::core::demangle(of.name());
    char const* const type = name.c_str();
    raise(PyExc_TypeError,
          "Python has no object for a C++ %s: register it in the module, by "
          "boost::python::class_<%s> or boost::python::to_python_converter, or, if it is plain "
          "data, describe it by channel_class::field() and use get_batch()",
          type, type);
}

void raise_no_layout(std::type_info const& of) {
    std::string const name = boost::core::demangle(of.name());
    char const* const type = name.c_str();
    raise(PyExc_TypeError,
          "no field of the C++ %s is described, so nobody could read a batch: describe each by "
          "channel_class::field(), or use get_many()",
          type);
}

void raise_if(std::exception_ptr const& error) {
    if (error == nullptr) {
        return;
    }
    try {
        std::rethrow_exception(error);
    } catch (py::error_already_set const&) {
        // error_already_set is an empty tag: the error itself was in the producer's thread state.
        raise(
            PyExc_RuntimeError,
            "the channel was closed with a Python error, which only the thread that met it knows; "
            "close it with a C++ exception that says what happened");
    }
}

py::object dict_of(channel_counts const& counts) {
    py::dict made;
    made["pushed"] = counts.pushed;
    made["delivered"] = counts.delivered;
    made["dropped"] = counts.dropped;
    made["refused"] = counts.refused;
    return made;
}

py::object representation(py::object const& self, std::size_t size, std::size_t capacity,
                          when_full policy, bool closed) {
    // Found before the tuple is made, because code that Python runs would see an incomplete tuple.
    py::object const module = self.attr("__class__").attr("__module__");
    py::object const name = self.attr("__class__").attr("__qualname__");
    return "<%s.%s %d of %d when_full=%s %s>" % py::make_tuple(module, name, size, capacity,
                                                               name_of(policy),
                                                               closed ? "closed" : "open");
}

bool is_of_value() noexcept {
    if (PyErr_Occurred() == nullptr) {
        PyErr_SetString(PyExc_SystemError,
                        "the value's to-python converter returned null, and set no Python error");
    }
    return PyErr_ExceptionMatches(PyExc_Exception) != 0;
}

list_items::list_items(std::size_t most) : list_(PyList_New(static_cast<Py_ssize_t>(most))) {
    PyObject_GC_UnTrack(list_.get());
}

py::object list_items::list() {
    auto const added = static_cast<Py_ssize_t>(size_);
    if (added < PyList_GET_SIZE(list_.get())) {
        return py::object(py::handle<>(PyList_GetSlice(list_.get(), 0, added)));
    }
    PyObject_GC_Track(list_.get());
    return py::object(list_);
}

void waiting::wait(std::function<bool(clock::time_point)> const& wait_until) {
    // Without a wait the GIL is not released at all.
    if (timeout_ && timeout_->count() == 0) {
        raise(empty_class().ptr(), "nothing was there");
    }
    if (!deadline_) {
        deadline_ = deadline_after(timeout_);
    }
    switch (interruptible_wait(*deadline_, wait_until)) {
        case wait_end::reached:
            return;
        case wait_end::timed_out:
            raise(empty_class().ptr(), "nothing came within the timeout");
        case wait_end::interrupted:
            throw py::error_already_set();
    }
}

void close_at_exit(std::weak_ptr<channel_end> end) {
    static constinit gil_once<bool> tied;
    auto const there = end.lock();
    if (there == nullptr || there->closes_at_exit.exchange(true)) {
        return;
    }
    static_cast<void>(tied.get(have_all_closed_at_exit));
    std::scoped_lock const alone(guard_of_ends);
    auto& ends = open_ends();
    if (ends.size() == ends.capacity()) {  // so that each costs the same, whatever their number
        std::erase_if(ends, [](auto const& each) { return each.expired(); });
        ends.reserve(2 * ends.size() + 16);
    }
    ends.push_back(std::move(end));
}

}  // namespace handoff::detail
