// gil_statistics: how often and how long each thread and function took, held and awaited the GIL.
//
// The figures are exact and need constant memory: they are added up, and no event is kept.
#pragma once

#include "running_python.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace handoff::detail {

/// From now on adds up, once for as long as the process lives; a hold that has begun counts from
/// now. A child of fork() begins from zero.
///
/// GIL:     held, and also on return; or Python is not initialized.
/// Threads: one at a time.
/// Throws:  std::bad_alloc; std::runtime_error: the events of this Python's GIL cannot be observed.
void start_gil_statistics(running_python const& python);

/// The hold that lasts now.
struct current_hold {
    std::uint64_t number = 0;  // its number; 0: no thread holds the GIL
    std::uint64_t since = 0;   // nanoseconds of CLOCK_MONOTONIC
    std::uint64_t asked = 0;   // since when the holder is asked to drop it; 0: it is not
    pid_t thread = 0;
};

/// Threads: any. GIL: any.
[[nodiscard]] current_hold hold_of_now() noexcept;

/// The formats in which the figures are written.
enum class statistics_format : std::uint8_t {
    text,        // two tables, of threads and of functions
    json,        // one object: takes, contended, held, longest_hold, waited, longest_wait, in
           // seconds; threads and functions: a list of the same, each with its name
    prometheus,  // text exposition format 0.0.4
};

/// All figures so far. Threads of one name are added up. A hold counts for the Python function that
/// was executed at its end, and otherwise for native code. GIL: any; not touched. Threads: any.
[[nodiscard]] std::string gil_statistics(statistics_format format);

/// With what its text begins, in each of the formats.
constexpr std::array beginnings_of_statistics = std::to_array<std::string_view>(
    {"gilcheck: the GIL was taken ", R"({"takes": )", "# HELP python_gil_"});

}  // namespace handoff::detail
