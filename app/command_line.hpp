// The part of Python's command line that concerns Handoff: its -X options, and requests for help.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace handoff {

/// The words before the script's, read in the same way as Python reads them. Python then reads them
/// again, and decides. Needs no Python.
struct command_line {
    /// Source: SHORT_OPTS and longopts in CPython's Python/getopt.c.
    command_line(int argc, char const* const* argv);

    std::vector<std::string_view> x_options;  // "name" or "name=value"
    std::string_view help;                    // the option that asks for help, if any
    bool no_site = false;                     // -S
};

/// The name of the Handoff option that was probably meant: for `gilchek` it is "gilcheck". Empty if
/// it is a known option of Handoff's or CPython's, or looks like none of Handoff's.
[[nodiscard]] std::optional<std::string_view> option_meant_by(std::string_view x_option);

/// The text that Handoff adds to Python's help for such an option.
[[nodiscard]] std::string_view help_for(std::string_view option);

}  // namespace handoff
