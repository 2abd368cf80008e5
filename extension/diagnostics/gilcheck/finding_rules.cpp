// finding_rules: reads them at the start, so that mistakes in them are reported then.
#include "finding_rules.hpp"

#include "json.hpp"
#include "report_log.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>

namespace handoff::detail {

namespace {

constexpr std::string_view blanks = " \t\r";
constexpr std::string_view beginning_of_signature = R"({"finding": )";

std::string_view trimmed(std::string_view text) {
    auto const first = std::min(text.find_first_not_of(blanks), text.size());
    return text.substr(first, text.find_last_not_of(blanks) + 1 - first);
}

/// Whether the whole text matches the pattern, in which `*` is any text.
bool is_as(std::string_view pattern, std::string_view text) noexcept {
    std::size_t at = 0;
    std::size_t in_text = 0;
    std::size_t star = std::string_view::npos;  // the last one, and how far it reaches
    std::size_t reach = 0;
    while (in_text < text.size()) {
        if (at < pattern.size() && pattern[at] == '*') {
            star = at++;
            reach = in_text;
        } else if (at < pattern.size() && pattern[at] == text[in_text]) {
            ++at;
            ++in_text;
        } else if (star != std::string_view::npos) {
            at = star + 1;
            in_text = ++reach;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

struct suppression {
    enum class kind { function, file, lock };
    kind of{};
    std::string pattern;  // for the whole text

    [[nodiscard]] bool matches(std::string_view text) const noexcept {
        return !text.empty() && is_as(pattern, text);
    }
    [[nodiscard]] bool matches(finding_facts const& facts) const {
        switch (of) {
            case kind::function:
                return std::ranges::any_of(facts.shown,
                                           [this](auto const& each) { return matches(each.name); });
            case kind::file:
                return std::ranges::any_of(facts.shown, [this](auto const& each) {
                    return matches(each.module) || matches(each.source);
                });
            case kind::lock:
                return std::ranges::any_of(facts.locks,
                                           [this](auto const& each) { return matches(each); });
        }
        return false;
    }
};

/// As the sanitizers do: a pattern may match anywhere, unless it says where.
std::string of_whole_text(std::string_view pattern) {
    std::string whole;
    if (pattern.starts_with('^')) {
        pattern.remove_prefix(1);
    } else {
        whole += '*';
    }
    whole += pattern;
    if (whole.ends_with('$')) {
        whole.pop_back();
    } else {
        whole += '*';
    }
    return whole;
}

struct rules {
    std::vector<suppression> suppressions;
    std::set<std::string, std::less<>> known;
    std::string write_baseline;

    [[nodiscard]] bool is_empty() const {
        return suppressions.empty() && known.empty() && write_baseline.empty();
    }
};

std::atomic<rules const*> current = nullptr;  // older ones are kept: a thread may be reading them

/// As much of a line as a message has room for.
std::string shown(std::string_view line) {
    static constexpr std::size_t most = 60;
    return "'" + std::string(line.substr(0, most)) + (line.size() > most ? "…'" : "'");
}

suppression suppression_from(std::string_view line, std::string const& place) {
    auto const wrong = [&](std::string_view part, std::string const& what) {
        return std::invalid_argument("gilcheck: " + place + ": " + shown(part) + " " + what +
                                     ", as in 'function:legacy::poll  # upstream bug 123'");
    };
    // A lambda's name contains a #.
    std::size_t reason = line.find('#');
    while (reason != std::string_view::npos &&
           blanks.find(line[reason - 1]) == std::string_view::npos) {
        reason = line.find('#', reason + 1);
    }
    std::string_view const rule = trimmed(line.substr(0, reason));
    auto const colon = rule.find(':');
    std::string_view const kind = rule.substr(0, colon);
    static constexpr std::array kinds{"function", "file", "lock"};
    auto const* const of = std::ranges::find(kinds, kind);
    if (of == kinds.end()) {
        throw wrong(kind,
                    "is not a kind of suppression: write function, file or lock, and a colon");
    }
    std::string_view const pattern =
        colon == std::string_view::npos ? "" : trimmed(rule.substr(colon + 1));
    if (pattern.empty() || pattern == "^" || pattern == "$") {
        throw wrong(rule, "names nothing: write a name, or a part of it, behind the colon");
    }
    if (reason == std::string_view::npos || trimmed(line.substr(reason + 1)).empty()) {
        throw wrong(rule, "has no reason: write it behind the pattern, after a blank and a #");
    }
    return {.of = static_cast<suppression::kind>(of - kinds.begin()),
            .pattern = of_whole_text(pattern)};
}

/// Calls the function with each line that is not empty, and with its "file:line".
template <class Read>
void for_each_line(std::string const& path, char const* what, Read const& read) {
    std::ifstream file(path);
    int const failure = errno;
    std::string line;
    std::error_code is_none;
    bool const is_folder = std::filesystem::is_directory(path, is_none);
    if (!file || is_folder) {
        int const reason = is_folder ? EISDIR : failure;
        throw std::invalid_argument("gilcheck: the " + std::string(what) + " '" + path +
                                    "' cannot be read: " + std::strerror(reason) +
                                    "; name a file that " +
                                    (reason == EACCES ? "may be read" : "is there"));
    }
    for (std::size_t number = 1; std::getline(file, line); ++number) {
        if (std::string_view const text = trimmed(line); !text.empty()) {
            read(text, path + ':' + std::to_string(number));
        }
    }
}

bool is_in(std::string const& line, std::string const& path) {
    std::ifstream file(path);
    std::string each;
    while (std::getline(file, each)) {
        if (each == line) {
            return true;
        }
    }
    return false;
}

/// Without what the compiler has added to it: "f() [clone .isra.0]".
std::string_view as_in_source(std::string_view function) {
    return function.substr(0, function.find(" [clone "));
}

named_function named(call_frame const& frame) {
    return {.name = frame.function,
            .module = frame.file,
            .source = frame.source.substr(0, frame.source.rfind(':'))};
}

}  // namespace

void finding_facts::add_side(std::span<call_frame const> stack, std::size_t most) {
    std::vector<named_function> side;
    call_frame const* const users = users_frame(stack);
    for (call_frame const& each :
         users == nullptr ? stack.first(0)
                          : stack.subspan(static_cast<std::size_t>(users - stack.data()))) {
        if (each.whose == code_of::user && side.size() < most) {
            side.push_back(named(each));
        }
    }
    if (!side.empty()) {
        sides.push_back(std::move(side));
    }
    add_shown(stack);
}

void finding_facts::add_shown(std::span<call_frame const> stack) {
    bool const is_users = users_frame(stack) != nullptr;
    for (call_frame const& each :
         is_users ? stack : stack.first(std::min(stack.size(), std::size_t{1}))) {
        if (!is_users || each.whose == code_of::user) {
            shown.push_back(named(each));
        }
    }
}

std::string finding_facts::signature() const {
    std::vector<std::string> by;  // sorted: a cycle may begin at any side
    auto const add = [&by](std::span<named_function const> side) {
        std::string functions;
        for (named_function const& each : side) {
            functions += (functions.empty() ? "" : ", ") + json_string(as_in_source(each.name));
        }
        std::string_view const module = side.front().module;
        by.push_back("{\"functions\": [" + functions +
                     "], \"module\": " + json_string(module.substr(module.rfind('/') + 1)) + "}");
    };
    std::ranges::for_each(sides, add);
    if (sides.empty() && !shown.empty()) {
        add(std::span(shown).first(1));
    }
    std::ranges::sort(by);
    std::string line = std::string(beginning_of_signature) + json_string(kind) +
                       ", \"called\": " + (called.empty() ? "null" : json_string(called)) +
                       ", \"by\": [";
    for (std::string const& each : by) {
        line += (&each == &by.front() ? "" : ", ") + each;
    }
    return line + "]}";
}

void use_rules(rule_files const& files) {
    auto read = std::make_unique<rules>();
    if (!files.suppressions.empty()) {
        for_each_line(files.suppressions, "suppressions",
                      [&](std::string_view line, std::string const& place) {
                          if (!line.starts_with('#')) {
                              read->suppressions.push_back(suppression_from(line, place));
                          }
                      });
    }
    if (!files.baseline.empty()) {
        for_each_line(files.baseline, "baseline",
                      [&](std::string_view line, std::string const& place) {
                          if (!line.starts_with(beginning_of_signature)) {
                              throw std::invalid_argument(
                                  "gilcheck: " + place + ": " + shown(line) +
                                  " is not a finding of a baseline: write the file anew, by "
                                  "gilcheck --write-baseline");
                          }
                          read->known.emplace(line);
                      });
    }
    if (!files.write_baseline.empty()) {
        require_own_file(files.write_baseline, "baseline", std::span(&beginning_of_signature, 1));
        read->write_baseline = file_to_append_to(files.write_baseline, "baseline");
    }
    current.store(read->is_empty() ? nullptr : read.release(), std::memory_order_release);
}

bool has_rules() noexcept { return current.load(std::memory_order_acquire) != nullptr; }

bool is_left_out(finding_facts const& facts) {
    rules const* const now = current.load(std::memory_order_acquire);
    if (now == nullptr) {
        return false;
    }
    if (std::ranges::any_of(now->suppressions,
                            [&](suppression const& each) { return each.matches(facts); })) {
        return true;
    }
    if (now->known.empty() && now->write_baseline.empty()) {
        return false;
    }
    std::string const line = facts.signature();
    return now->known.contains(line) ||
           (!now->write_baseline.empty() &&
            (is_in(line, now->write_baseline) || append(now->write_baseline.c_str(), line + '\n')));
}

}  // namespace handoff::detail
