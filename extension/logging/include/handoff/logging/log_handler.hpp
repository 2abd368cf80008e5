// new_log_handler(): a Python logging.Handler that passes its records to a C++ function.
#pragma once

#include <handoff/gil/python.hpp>
#include <handoff/logging/log_level.hpp>

#include <chrono>
#include <functional>
#include <string_view>

namespace handoff {

/// A Python record, for the duration of the call.
struct python_log_record {
    std::string_view logger;
    log_level level;
    std::string_view text;  // formatted by the handler, with the traceback if there is one
    std::string_view file;
    unsigned line;  ///< 0 if it is not known.
    std::string_view function;
    std::chrono::system_clock::time_point time;  ///< The epoch if the record's is not a time.
    std::string_view thread_name;
};

/// A new logging.Handler whose emit() calls the function. Its formatter, filters and level are
/// set in Python.
///
///     PyObject* const handler = handoff::new_log_handler(
///         [](handoff::python_log_record const& seen) { journal.add(seen.level, seen.text); });
///     // logging.getLogger().addHandler(handler)
///
/// The function is called with the GIL held, and with the handler's lock. It must not wait for a
/// thread that logs in Python or needs the GIL. If it throws, logging.Handler.handleError() reports
/// that, like any handler's error. The function is destroyed with the handler.
///
/// GIL:     held. Returns: a new reference; null with a Python error set.
[[nodiscard]] PyObject* new_log_handler(
    std::function<void(python_log_record const&)> function) noexcept;

}  // namespace handoff
