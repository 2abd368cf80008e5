// log_level: the importance of a record, as a number of Python's logging.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#include <string_view>

namespace handoff {

/// Python's levels. Any other positive number is a level too: log_level(25), see log_level_from().
enum class log_level : int {
    debug = 10,
    info = 20,
    warning = 30,
    error = 40,
    critical = 50,
};

/// The level of that name, as Python writes it: "DEBUG", "INFO", "WARNING", "WARN", "ERROR",
/// "CRITICAL", "FATAL"; also in lower case. Levels that were added by logging.addLevelName() are
/// known here only by their numbers.
/// Throws: std::invalid_argument, which names the unknown level and the known ones.
[[nodiscard]] log_level log_level_from(std::string_view name);

/// The level of that number. Throws: std::invalid_argument unless it is positive.
[[nodiscard]] log_level log_level_from(int number);

}  // namespace handoff
