// What of Python's command line concerns Handoff: its -X options, and who asks for help.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace handoff {

/// The words before the script's, read as Python reads them, which has the last word on them.
/// Needs no Python.
struct command_line {
    /// Source: SHORT_OPTS and longopts in CPython's Python/getopt.c.
    command_line(int argc, char const* const* argv);

    std::vector<std::string_view> x_options;  // "name" or "name=value"
    std::string_view help;                    // the option that asks for it, if any
    bool no_site = false;                     // -S
};

/// The name of an option of ours, if this looks like one and is none: for `gilchek` it is
/// "gilcheck". Never for what is an option of CPython's.
[[nodiscard]] std::optional<std::string_view> option_meant_by(std::string_view x_option);

/// What Handoff adds to what Python says for such an option.
[[nodiscard]] std::string_view help_for(std::string_view option);

}  // namespace handoff
