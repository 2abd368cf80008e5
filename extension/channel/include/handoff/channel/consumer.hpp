// What a Python consumer of a channel uses and waits for, whatever the type of the values.
#pragma once

#include <handoff/channel.hpp>
#include <handoff/gil/python.hpp>

#include <boost/python/object.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <typeinfo>
#include <vector>

namespace handoff::detail {

// GIL: held, for all of these; each throws boost::python::error_already_set, with an error that
// names the argument and its value.

std::ptrdiff_t capacity_from(boost::python::object const& value);
std::size_t max_from(boost::python::object const& value);
when_full policy_from(boost::python::object const& value);
/// None: no timeout.
std::optional<std::chrono::nanoseconds> timeout_from(boost::python::object const& value);

char const* name_of(when_full policy) noexcept;

/// queue.Empty; queue.ShutDown, which is new in Python 3.13, and before that a similar exception.
boost::python::object empty_class();
boost::python::object shut_down_class();

[[noreturn]] void raise_shut_down();
/// A conversion waits for the end of the channel that its value came from.
[[noreturn]] void raise_waits_for_itself();
[[noreturn]] void raise_no_converter(std::type_info const& of);
[[noreturn]] void raise_no_layout(std::type_info const& of);
/// Raises what a channel was closed with, if anything, as Boost.Python translates it.
void raise_if(std::exception_ptr const& error);

boost::python::object dict_of(channel_counts const& counts);
boost::python::object representation(boost::python::object const& self, std::size_t size,
                                     std::size_t capacity, when_full policy, bool closed);
/// Whether the error that is set is about the value that was converted. A KeyboardInterrupt, for
/// example, is not, and the value can be taken again. Sets an error if the converter has set none.
bool is_of_value() noexcept;

/// A list that Python sees only when it is complete. Until then the garbage collector does not know
/// it, so code that a conversion calls cannot find it, for example with gc.get_objects().
class list_items {
public:
    /// Throws: error_already_set (MemoryError).
    explicit list_items(std::size_t most);

    /// Owns it from now on. REQUIRES: no more than `most`.
    void add(PyObject* item) noexcept {
        PyList_SET_ITEM(list_.get(), static_cast<Py_ssize_t>(size_++), item);
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// The list of what was added. Throws: error_already_set (MemoryError).
    boost::python::object list();

private:
    boost::python::handle<> list_;
    std::size_t size_ = 0;
};

/// An iterator over a channel, which it keeps alive. `next` returns a new reference. It returns
/// null with a Python error set, or at the end. The garbage collector sees what it refers to.
using next_of_channel = PyObject* (*)(PyObject* channel, std::size_t max) noexcept;
boost::python::object iterator_over(boost::python::object const& channel, next_of_channel next,
                                    std::size_t max);

/// Takes what there is without waiting. Returns a new reference to the result for Python, or to
/// `nothing` if something may arrive later. Null, with a Python error set: also at the end.
using take_of_channel = PyObject* (*)(PyObject* channel, std::size_t max,
                                      PyObject* nothing) noexcept;

/// The names, for the errors, of a method for coroutines and of the one that works without an event
/// loop.
struct async_method {
    char const* name;
    char const* blocking;
    bool is_iteration;
};

/// A coroutine that takes as soon as there is something, or an asynchronous iterator of these.
/// Throws: error_already_set: no asyncio event loop runs in this thread.
boost::python::object for_coroutines(async_method const& method,
                                     boost::python::object const& channel,
                                     std::weak_ptr<channel_end> const& end, take_of_channel take,
                                     std::size_t most);
[[noreturn]] void raise_stop_async_iteration();

/// Lets Python's garbage collector see what a channel's Python object refers to: its attributes.
/// GIL: held. REQUIRES: the channel's class, of Boost.Python, before the first instance.
void make_collectable(PyTypeObject& channel_class);

/// A consumer's wait, which may have several parts.
class waiting {
public:
    using clock = std::chrono::steady_clock;

    explicit waiting(std::optional<std::chrono::nanoseconds> timeout) : timeout_(timeout) {}

    /// Calls wait_until(time) with the GIL released, until it returns true. In the main thread it
    /// handles signals ten times a second.
    /// Throws: error_already_set: queue.Empty when the timeout has passed; KeyboardInterrupt, or
    ///         any other exception of a signal handler.
    void wait(std::function<bool(clock::time_point)> const& wait_until);

private:
    std::optional<std::chrono::nanoseconds> timeout_;
    std::optional<clock::time_point> deadline_;  // from the first part on
};

/// Closes it to its producers when Python ends: after Python's non-daemon threads have ended,
/// and before the interpreter is destroyed. Calling it once is enough.
void close_at_exit(std::weak_ptr<channel_end> end);

}  // namespace handoff::detail
