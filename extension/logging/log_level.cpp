// log_level_from(): the names and numbers of Python's levels, and the error for all others.
#include <handoff/logging/log_level.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <utility>

namespace handoff {

namespace {

constexpr std::array<std::pair<std::string_view, log_level>, 7> names{{
    {"DEBUG", log_level::debug},
    {"INFO", log_level::info},
    {"WARNING", log_level::warning},
    {"WARN", log_level::warning},
    {"ERROR", log_level::error},
    {"CRITICAL", log_level::critical},
    {"FATAL", log_level::critical},
}};

char upper(char letter) noexcept {
    return 'a' <= letter && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
}

}  // namespace

log_level log_level_from(std::string_view name) {
    for (auto const& [known, level] : names) {
        if (std::ranges::equal(name, known,
                               [](char given, char its) { return upper(given) == its; })) {
            return level;
        }
    }
    throw std::invalid_argument(
        "\"" + std::string(name) +
        "\" is not a log level: use DEBUG, INFO, WARNING, ERROR or CRITICAL, "
        "or the number of the level");
}

log_level log_level_from(int number) {
    if (number <= 0) {
        throw std::invalid_argument("a log level must be a positive number, not " +
                                    std::to_string(number));
    }
    return static_cast<log_level>(number);
}

}  // namespace handoff
