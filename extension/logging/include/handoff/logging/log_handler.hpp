// new_log_handler(): a handler of Python's logging that passes its records to a C++ function.
#pragma once

#include <handoff/gil/python.hpp>
#include <handoff/logging/log_level.hpp>

#include <chrono>
#include <functional>
#include <string_view>

namespace handoff {

/// A record of Python's, for the duration of the call.
struct python_log_record {
    std::string_view logger;
    log_level level;
    std::string_view text;  // formatted by the handler, with the traceback if there is one
    std::string_view file;
    unsigned line;
    std::string_view function;
    std::chrono::system_clock::time_point time;
    std::string_view thread_name;
};

/// A new logging.Handler whose emit() calls the function. Its formatter, filters and level are
/// Python's.
///
///     PyObject* const handler = handoff::new_log_handler(
///         [](handoff::python_log_record const& seen) { journal.add(seen.level, seen.text); });
///     // logging.getLogger().addHandler(handler)
///
/// The function is called with the GIL held, and with the handler's lock: it may not wait for a
/// thread that logs in Python or needs the GIL. What it throws, logging.Handler.handleError() tells
/// of, as of any handler's error. It is destroyed with the handler.
///
/// GIL:     held. Returns: a new reference; null with a Python error set.
[[nodiscard]] PyObject* new_log_handler(
    std::function<void(python_log_record const&)> function) noexcept;

}  // namespace handoff
