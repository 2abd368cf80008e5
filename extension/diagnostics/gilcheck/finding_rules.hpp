// finding_rules: which findings are not reported: those that a file of suppressions names, and
// those that a baseline knows.
//
// A file of suppressions has a line for each, as the sanitizers' have, and a reason:
//     function:legacy::poll  # freed in 2.0; upstream bug 123
//     file:libvendor*.so     # theirs
//     lock:sinks_lock        # only taken at the start
// A pattern may be anywhere in the name; `*` is any text, `^` the name's beginning and `$` its end.
//
// A baseline has a line of JSON for each finding that was there when it was written. It is compared
// as it is: the signature has neither addresses nor lines of source, which change with every build.
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
    std::string module;  // the library or program it is in; of Python's: the file it is from
    std::string source;  // without the line; empty: unknown
};

/// What a finding is known by.
struct finding_facts {
    std::string_view
        kind;  // "call_without_gil", "over_budget", "lock_order", "wait_with_gil", "join_with_gil"
    std::string called{};  // the function of Python's; empty: it is no call
    std::vector<std::vector<named_function>> sides{};  // of each the innermost of the user's
    std::vector<named_function> shown{};  // all of the user's, of all stacks
    std::vector<std::string> locks{};  // those with a name

    /// Adds a side by its stack, the innermost frame first, as far as it is of interest. most: how
    /// many functions it is known by; no more than what tells two reports from each other, as
    /// who comes first to a place may be another in each run.
    void add_side(std::span<call_frame const> stack, std::size_t most);
    /// Adds what is shown beside: the user's frames; of a stack with none, the innermost.
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

/// These are the rules from now on. Threads: one at a time, beside is_left_out(). GIL: any; not
/// touched. Throws: std::invalid_argument: a file cannot be read or written, or says what is
/// not understood: with its name, the line, and what to do. Then the rules are as before.
void use_rules(rule_files const& files);

/// Whether there are any: else nobody has to gather facts. Threads: any.
[[nodiscard]] bool has_rules() noexcept;

/// Whether the finding is not to be reported. Reads and writes a file where a baseline is written.
/// Threads: any. GIL: any; not touched.
[[nodiscard]] bool is_left_out(finding_facts const& facts);

}  // namespace handoff::detail
