// finding_rules: which findings are not reported: those in a suppressions file or a baseline.
//
// A suppressions file has a line for each, in the form of the sanitizers, and a reason:
//     function:legacy::poll  # freed in 2.0; upstream bug 123
//     file:libvendor*.so     # theirs
//     lock:sinks_lock        # only taken at the start
// A pattern may be anywhere in the name; `*` is any text, `^` the name's beginning and `$` its end.
//
// A baseline has a line of JSON for each finding that existed when it was written. Lines are
// compared as text: the signature has neither addresses nor source lines, which change with every
// build.
#pragma once

#include "call_frames.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace handoff::detail {

/// A function that a report shows.
struct named_function {
    std::string name;
    std::string module;  // its library or program; for a Python function: its file
    std::string source;  // without the line; empty: unknown
};

/// What identifies a finding.
struct finding_facts {
    std::string_view
        kind;  // "call_without_gil", "over_budget", "lock_order", "wait_with_gil", "join_with_gil"
    std::string called{};  // the Python function; empty: it is not a call
    std::vector<std::vector<named_function>> sides{};  // for each the user's innermost functions
    std::vector<named_function> shown{};  // all functions of the user, on all stacks
    std::vector<std::string> locks{};  // those with a name

    /// Adds a side with its stack, the innermost frame first, as far as it matters. most: how many
    /// functions identify it. No more than are needed to tell two reports apart, because another
    /// thread may be the first at a place in each run.
    void add_side(std::span<call_frame const> stack, std::size_t most);
    /// Adds what is shown besides: the user's frames; for a stack without any, the innermost frame.
    void add_shown(std::span<call_frame const> stack);

    /// One line of JSON, the same in every run of every build of the same source. Keys: finding,
    /// called, by (of each side: functions, module).
    [[nodiscard]] std::string signature() const;
};

/// Paths; empty: there is none.
struct rule_files {
    std::string suppressions;
    std::string baseline;
    std::string write_baseline;  // findings are added to it, and not reported
};

/// From now on these rules apply. Threads: one at a time, except with is_left_out(). GIL: any; not
/// touched. Throws: std::invalid_argument: a file cannot be read or written, or contains something
/// unknown: with its name, the line, and what to do. Then the rules stay as before.
void use_rules(rule_files const& files);

/// Whether there are any: otherwise no facts need be gathered. Threads: any.
[[nodiscard]] bool has_rules() noexcept;

/// Whether the finding is not to be reported. Reads and writes a file where a baseline is written.
/// Threads: any. GIL: any; not touched.
[[nodiscard]] bool is_left_out(finding_facts const& facts);

}  // namespace handoff::detail
