// Python's option syntax, a guess at what a misspelt option was meant to be, and the help.
#include "command_line.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

namespace handoff {

namespace {

using namespace std::string_view_literals;

constexpr std::array ours{"gilcheck"sv, "giltrace"sv, "gilwatch"sv, "handoff-version"sv,
                          "handoff-watchdog"sv};

// The options of any version since 3.11. Source: `python3 --help-xoptions`, Python/initconfig.c.
constexpr std::array of_cpython{
    "context_aware_warnings"sv,
    "cpu_count"sv,
    "dev"sv,
    "disable-remote-debug"sv,
    "disable_remote_debug"sv,
    "faulthandler"sv,
    "frozen_modules"sv,
    "gil"sv,
    "importtime"sv,
    "int_max_str_digits"sv,
    "lazy_imports"sv,
    "no_debug_ranges"sv,
    "pathconfig_warnings"sv,
    "perf"sv,
    "perf_jit"sv,
    "presite"sv,
    "pycache_prefix"sv,
    "showrefcount"sv,
    "thread_inherit_context"sv,
    "tlbc"sv,
    "tracemalloc"sv,
    "utf8"sv,
    "warn_default_encoding"sv,
};

constexpr auto help_of_options = R"(
Options of Handoff:
-X gilcheck[=SETTINGS]: report each call into Python that is made without the GIL;
         with =warn,deadlocks also what will deadlock
-X giltrace=FILE[,OPTION=NUMBER…]: record who holds the GIL and who waits for it;
         FILE ends with .html, .svg or .json
-X gilwatch[=SECONDS]: report on stderr who waits longer than that for the GIL (5),
         and who holds it
-X handoff-version: print the versions of Handoff, Python and Boost, and exit
-X handoff-watchdog[=SECONDS]: the same as -X gilwatch
Example: -X giltrace=trace.html script.py
)"sv;

constexpr auto help_of_environment = R"(
Environment variables of Handoff:
HANDOFF_WATCHDOG: report on stderr who waits longer than so many seconds for the GIL,
         and who holds it (-X gilwatch)
)"sv;

/// The name without what is easily mistyped: capital letters, and the characters that join words.
std::string normalised(std::string_view name) {
    std::string plain;
    for (char const c : name) {
        if (c != '-' && c != '_') {
            plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
    }
    return plain;
}

/// How many letters are missing, too many, wrong, or exchanged with their neighbour.
std::size_t mistakes_between(std::string const& a, std::string const& b) {
    // [i][j]: for the first i letters of a and the first j of b. Source: optimal string alignment.
    std::vector<std::vector<std::size_t>> between(a.size() + 1,
                                                  std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) {
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                between[i][j] = i + j;
                continue;
            }
            std::size_t const wrong = a[i - 1] == b[j - 1] ? 0 : 1;
            std::size_t fewest = std::min(
                {between[i - 1][j] + 1, between[i][j - 1] + 1, between[i - 1][j - 1] + wrong});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                fewest = std::min(fewest, between[i - 2][j - 2] + 1);
            }
            between[i][j] = fewest;
        }
    }
    return between[a.size()][b.size()];
}

template <class Names>
bool contains(Names const& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

command_line::command_line(int argc, char const* const* argv) {
    for (int i = 1; i < argc && help.empty(); ++i) {
        std::string_view const word = argv[i];
        if (word.size() < 2 || word[0] != '-' || word == "--") {
            return;
        }
        if (word[1] == '-') {
            if (word.starts_with("--help")) {
                help = word;
            } else if (word == "--check-hash-based-pycs") {
                ++i;  // its argument
            }
            continue;
        }
        for (std::size_t at = 1; at < word.size(); ++at) {
            char const letter = word[at];
            if (letter == 'c' || letter == 'm') {
                return;  // the rest belongs to the program
            }
            if (letter == 'h' || letter == '?') {
                help = word;
                return;
            }
            no_site = no_site || letter == 'S';
            if (letter == 'W' || letter == 'X') {
                std::string_view argument = word.substr(at + 1);
                if (argument.empty() && ++i < argc) {
                    argument = argv[i];
                }
                if (letter == 'X') {
                    x_options.push_back(argument);
                }
                break;
            }
        }
    }
}

std::optional<std::string_view> option_meant_by(std::string_view x_option) {
    std::string_view const name = x_option.substr(0, x_option.find('='));
    if (contains(ours, name) || contains(of_cpython, name)) {
        return std::nullopt;
    }
    if (name == "watchdog" || name == "handoff") {
        return "gilwatch";
    }
    static constexpr std::size_t few = 2;
    static constexpr std::size_t longest = 32;  // no option is this long
    if (name.size() > longest) {
        return std::nullopt;
    }
    auto const nearest = std::ranges::min_element(
        ours, {}, [&](auto each) { return mistakes_between(normalised(name), normalised(each)); });
    bool const is_near = mistakes_between(normalised(name), normalised(*nearest)) <= few;
    return is_near ? std::optional(*nearest) : std::nullopt;
}

std::string_view help_for(std::string_view option) {
    return option == "--help-env" ? help_of_environment : help_of_options;
}

}  // namespace handoff
