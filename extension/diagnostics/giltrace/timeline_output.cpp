// timeline_output: the format, the file, and the summary.
#include "timeline_output.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace handoff::detail {

namespace {

struct totals {
    std::uint64_t sum = 0;
    std::uint64_t longest = 0;
};

template <class Intervals>
totals totals_of(Intervals const& intervals) {
    totals found;
    for (auto const& each : intervals) {
        auto const length = each.end - each.begin;
        found.sum += length;
        found.longest = std::max(found.longest, length);
    }
    return found;
}

// NOLINTNEXTLINE(modernize-avoid-variadic-functions): the compiler checks what it is given
[[gnu::format(printf, 2, 3)]] void print(std::string& to, char const* format, ...) {
    std::array<char, 512> line{};
    std::va_list arguments;
    va_start(arguments, format);
    int const length = std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    to.append(line.data(), std::min(static_cast<std::size_t>(length), line.size() - 1));
}

std::string table(timeline const& shown) {
    std::string told;
    print(told, "%-24s %9s %10s %10s %6s %10s %10s %6s\n", "thread", "takes", "held", "longest",
          "share", "waited", "longest", "share");
    auto const whole = static_cast<double>(std::max<std::uint64_t>(shown.end - shown.begin, 1));
    for (timeline::lane const& each : shown.lanes) {
        totals const held = totals_of(each.holds);
        totals const waited = totals_of(each.waits);
        print(told, "%-24s %9zu %10s %10s %5.1f%% %10s %10s %5.1f%%\n", in_words(each).c_str(),
              each.holds.size(), in_words(held.sum).c_str(), in_words(held.longest).c_str(),
              100 * static_cast<double>(held.sum) / whole, in_words(waited.sum).c_str(),
              in_words(waited.longest).c_str(), 100 * static_cast<double>(waited.sum) / whole);
    }
    return told;
}

constexpr std::size_t most_told = 10;

struct waiting {
    timeline::lane const* who;
    timeline::wait const* how_long;

    [[nodiscard]] std::uint64_t length() const { return how_long->end - how_long->begin; }
};

/// Of those that `which` chooses, so many as are told, the longest first; and how many there are.
template <class Which>
std::pair<std::vector<waiting>, std::size_t> longest_waits(timeline const& shown, Which which) {
    std::vector<waiting> all;
    for (timeline::lane const& each : shown.lanes) {
        for (timeline::wait const& waited : each.waits) {
            if (which(waited)) {
                all.push_back({.who = &each, .how_long = &waited});
            }
        }
    }
    std::size_t const count = all.size();
    auto const told = std::min(count, most_told);
    std::ranges::partial_sort(all, all.begin() + static_cast<std::ptrdiff_t>(told),
                              std::ranges::greater(), &waiting::length);
    all.resize(told);
    return {std::move(all), count};
}

std::string worst_waits(timeline const& shown) {
    auto const [worst, count] = longest_waits(shown, [](auto const&) { return true; });
    std::string told = worst.empty() ? "nobody waited for the GIL\n" : "worst waits\n";
    for (waiting const& each : worst) {
        auto const culprit = shown.culprit_of(*each.how_long);
        told += "  " + in_words(each.length()) + "  " + in_words(*each.who) + " at " +
                in_words(each.how_long->begin - shown.begin);
        if (culprit.who != nullptr) {
            told += ", while " + in_words(*culprit.who) + " held it for " + in_words(culprit.took) +
                    " of that, most of it in " + shown.name_of(*culprit.what);
        } else {
            told += ", while nobody held it for " + in_words(culprit.took) +
                    " of that: the system ran other threads, or processes";
        }
        told += each.how_long->ended_in_a_take ? "\n" : "; it did not get it\n";
    }
    return told;
}

/// Who waited, and who held the GIL, when a process was killed: of a deadlock, all there is to say.
std::string unfinished_waits(timeline const& shown) {
    auto const [unfinished, count] = longest_waits(shown, [&](timeline::wait const& each) {
        return !each.ended_in_a_take && each.end == shown.end;
    });
    if (shown.was_ended || unfinished.empty()) {
        return {};
    }
    std::string told = shown.goes_on ? "waited for the GIL when this was written\n"
                                     : "waited for the GIL when the process was killed, or left\n";
    for (waiting const& each : unfinished) {
        told += "  " + in_words(each.length()) + "  " + in_words(*each.who) + " since " +
                in_words(each.how_long->begin - shown.begin) + "\n";
    }
    if (count > unfinished.size()) {
        told += "  and " + std::to_string(count - unfinished.size()) + " more\n";
    }
    for (timeline::lane const& each : shown.lanes) {
        if (!each.holds.empty() && each.holds.back().end == shown.end) {
            told += "  meanwhile " + in_words(each) + " held it, since " +
                    in_words(each.holds.back().begin - shown.begin) + "\n";
        }
    }
    return told;
}

/// What the recording lacks.
std::string faults(timeline const& shown) {
    std::string told;
    std::set<std::string> hints;
    for (auto const& each : shown.activities) {
        if (!each.hint.empty()) {
            hints.insert(each.hint.starts_with("its ") ? each.name + ": " + each.hint : each.hint);
        }
    }
    for (auto const& each : hints) {
        told += each + "\n";
    }
    if (shown.lost > 0) {
        print(told, "%llu events are missing: there was no room for them on the disk\n",
              static_cast<unsigned long long>(shown.lost));
    }
    if (std::string const wrong = shown.contradiction(); !wrong.empty()) {
        told += "the recording contradicts itself: " + wrong + "\n";
    }
    if (!shown.was_ended && !shown.goes_on) {
        told += "the recording was not ended: the process was killed, or became another program\n";
    }
    return told;
}

}  // namespace

timeline_format format_of(std::string_view path) {
    if (path.ends_with(".json")) {
        return timeline_format::chrome_trace;
    }
    if (path.ends_with(".html")) {
        return timeline_format::page;
    }
    if (path.ends_with(".svg")) {
        return timeline_format::picture;
    }
    throw std::invalid_argument("a GIL timeline is written as .json, .html or .svg, and '" +
                                std::string(path) +
                                "' ends with none of them: say which (-o trace.html, "
                                "-X giltrace=trace.html)");
}

std::string in_words(std::uint64_t nanoseconds) {
    auto const value = static_cast<double>(nanoseconds);
    std::string told;
    if (nanoseconds < 1'000) {
        print(told, "%.0f ns", value);
    } else if (nanoseconds < 1'000'000) {
        print(told, "%.3g us", value / 1e3);
    } else if (nanoseconds < 1'000'000'000) {
        print(told, "%.3g ms", value / 1e6);
    } else {
        print(told, "%.4g s", value / 1e9);
    }
    return told;
}

std::string in_words(timeline::lane const& thread) {
    return "'" + thread.name + "' " + std::to_string(thread.thread);
}

std::string summary_of(timeline const& shown) {
    std::size_t holds = 0;
    for (timeline::lane const& each : shown.lanes) {
        holds += each.holds.size();
    }
    std::string told;
    print(told, "GIL of %s, process %d: %s, %zu thread%s, %zu hold%s\n", shown.program.c_str(),
          shown.process, in_words(shown.end - shown.begin).c_str(), shown.lanes.size(),
          shown.lanes.size() == 1 ? "" : "s", holds, holds == 1 ? "" : "s");
    return told + unfinished_waits(shown) + table(shown) + worst_waits(shown) + faults(shown);
}

std::string notes_on(timeline const& shown) { return unfinished_waits(shown) + faults(shown); }

namespace {

[[noreturn]] void refuse(std::string const& path, int error) {
    throw std::system_error(error, std::generic_category(), "giltrace cannot write '" + path + "'");
}

bool is_ours(std::string const& path) {
    std::array<char, 512> begin{};
    std::ifstream file(path, std::ios::binary);
    file.read(begin.data(), begin.size());
    std::string_view const read(begin.data(), static_cast<std::size_t>(file.gcount()));
    // An empty one is a temporary file, made to have its name.
    return (file.eof() && read.empty()) || read.find(signature) != std::string_view::npos ||
           read.find(json_signature) != std::string_view::npos;
}

/// Not a link to it. Returns whether it is gone.
bool remove_file(std::string const& path) {
    std::error_code failure;
    auto const file = std::filesystem::canonical(path, failure);
    return !failure && std::filesystem::remove(file, failure);
}

}  // namespace

void make_sure_of(std::string const& path) {
    std::error_code unknown;
    bool const is_new = !std::filesystem::exists(path, unknown);
    int const file = open(path.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
    if (file < 0 && errno != ENXIO) {  // a pipe that nobody reads yet
        refuse(path, errno);
    }
    if (file >= 0) {
        close(file);
    }
    if (is_new) {
        remove_file(path);
    } else if (std::filesystem::is_regular_file(path, unknown) && !is_ours(path)) {
        throw std::system_error(EEXIST, std::generic_category(),
                                "giltrace replaces only what it has written itself, and it has not "
                                "written '" +
                                    path + "': remove that, or choose another name");
    }
}

void remove_earlier(std::string const& path) {
    std::error_code failure;
    if (!std::filesystem::is_regular_file(path, failure)) {
        return;
    }
    if (!remove_file(path) && truncate(path.c_str(), 0) != 0) {
        refuse(path, errno);
    }
}

void write(timeline const& shown, std::string const& path) {
    auto const format = format_of(path);
    make_sure_of(path);
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "we"),
                                                         &std::fclose);
    if (file == nullptr) {
        refuse(path, errno);
    }
    switch (format) {
        case timeline_format::chrome_trace:
            write_chrome_trace(shown, file.get());
            break;
        case timeline_format::page:
            write_page(shown, file.get());
            break;
        case timeline_format::picture:
            write_picture(shown, file.get());
            break;
    }
    if (std::fflush(file.get()) != 0) {
        refuse(path, errno);
    }
    if (std::ferror(file.get()) != 0) {
        refuse(path, EIO);
    }
}

}  // namespace handoff::detail
