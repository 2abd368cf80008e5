// watch: names the option or variable that was not understood.
#include "watch.hpp"

#include <cstdlib>
#include <stdexcept>

namespace handoff::watch {

gilwatch::settings settings_from(std::string const& text, std::string const& source) {
    try {
        return gilwatch::settings_from(text);
    } catch (std::invalid_argument const& wrong) {
        throw std::invalid_argument(source + ": " + wrong.what());
    }
}

std::optional<gilwatch::settings> asked_for_by_environment() {
    static constexpr auto variable = "HANDOFF_WATCHDOG";
    char const* const set = std::getenv(variable);
    if (set == nullptr || *set == '\0') {
        return std::nullopt;
    }
    return settings_from(set, variable);
}

}  // namespace handoff::watch
