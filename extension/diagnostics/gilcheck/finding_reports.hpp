// finding_reports: how a finding of any kind is reported.
#pragma once

#include "finding_rules.hpp"

#include <string>

namespace handoff::detail {

/// begin says whether a report is wanted; if so, end() or note is called once, on any thread.
struct finding_reports {
    bool (*begin)() noexcept = nullptr;
    void (*write)(std::string const& text) = nullptr;
    void (*note)(std::string const& text) = nullptr;  // writes a text that is not a finding
    void (*leave_out)() = nullptr;
    void (*finish)() = nullptr;  // waits until reports that were begun have ended
    bool json = false;

    /// Writes it, unless the rules leave it out. facts() and text() are called only if needed.
    template <class Facts, class Text>
    void end(Facts const& facts, Text const& text) const {
        if (has_rules() && is_left_out(facts())) {
            leave_out();
        } else {
            write(text());
        }
    }
};

}  // namespace handoff::detail
