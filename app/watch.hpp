// watch: how an option or the environment turns gilwatch on.
#pragma once

#include <handoff/gilwatch.hpp>

#include <optional>
#include <string>

namespace handoff::watch {

/// Settings of gilwatch, such as "5" and "5,signal=12".
/// source: where they come from, such as "-X gilwatch". Throws: std::invalid_argument, whose text
/// begins with the source.
[[nodiscard]] gilwatch::settings settings_from(std::string const& text, std::string const& source);

/// The settings in the environment variable HANDOFF_WATCHDOG. Throws: std::invalid_argument.
[[nodiscard]] std::optional<gilwatch::settings> asked_for_by_environment();

}  // namespace handoff::watch
