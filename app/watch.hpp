// watch: how gilwatch is asked for, by an option or the environment.
#pragma once

#include <handoff/gilwatch.hpp>

#include <optional>
#include <string>

namespace handoff::watch {

/// Settings of gilwatch's, as "5" and "5,signal=12".
/// source: who says so, as "-X gilwatch". Throws: std::invalid_argument, beginning with it.
[[nodiscard]] gilwatch::settings settings_from(std::string const& text, std::string const& source);

/// What the environment variable HANDOFF_WATCHDOG says. Throws: std::invalid_argument.
[[nodiscard]] std::optional<gilwatch::settings> asked_for_by_environment();

}  // namespace handoff::watch
