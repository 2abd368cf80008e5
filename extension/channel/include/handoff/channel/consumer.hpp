// What a Python consumer of a channel is told and waits for, whatever the channel's values are.
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

namespace handoff::detail {

// GIL: held, for all of these; each throws boost::python::error_already_set, with an error that
// names the argument and its value.

std::ptrdiff_t capacity_from(boost::python::object const& value);
std::size_t max_from(boost::python::object const& value);
when_full policy_from(boost::python::object const& value);
/// None: no timeout.
std::optional<std::chrono::nanoseconds> timeout_from(boost::python::object const& value);

char const* name_of(when_full policy) noexcept;

/// queue.Empty; queue.ShutDown, which is new in Python 3.13, and before it an exception like it.
boost::python::object empty_class();
boost::python::object shut_down_class();

[[noreturn]] void raise_shut_down();
[[noreturn]] void raise_no_converter(std::type_info const& of);
[[noreturn]] void raise_no_layout(std::type_info const& of);
/// Raises what a channel was closed with, if anything, as Boost.Python translates it.
void raise_if(std::exception_ptr const& error);

boost::python::object dict_of(channel_counts const& counts);
boost::python::object representation(boost::python::object const& self, std::size_t size,
                                     std::size_t capacity, when_full policy, bool closed);
/// iter(call_until_stop_iteration)
boost::python::object iterator_of(boost::python::object const& call);

/// A consumer's wait, in as many parts as it takes.
class waiting {
public:
    using clock = std::chrono::steady_clock;

    explicit waiting(std::optional<std::chrono::nanoseconds> timeout) : timeout_(timeout) {}

    /// Calls wait_until(time) with the GIL released, until it returns true. In the main thread it
    /// comes back for signals ten times a second.
    /// Throws: error_already_set: queue.Empty when the timeout has passed; KeyboardInterrupt, or
    ///         what else a signal's handler raised.
    void wait(std::function<bool(clock::time_point)> const& wait_until);

private:
    std::optional<std::chrono::nanoseconds> timeout_;
    std::optional<clock::time_point> deadline_;  // from the first part on
};

/// Has it closed to its producers when Python ends: after Python's non-daemon threads have ended,
/// and before the interpreter is taken apart. Once said is enough.
void close_at_exit(std::weak_ptr<channel_end> end);

}  // namespace handoff::detail
