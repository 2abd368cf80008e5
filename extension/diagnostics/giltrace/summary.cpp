// summary: a timeline in words: what cost most, the threads, and the worst waits.
#include "handoff_pieces.hpp"
#include "timeline_output.hpp"
#include "wait_causes.hpp"
#include <handoff/giltrace.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdarg>
#include <functional>
#include <optional>
#include <set>
#include <span>
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
    print(told, "%-24s %7s %8s %7s %13s %8s %7s %13s\n", "thread", "takes", "held", "held %",
          "longest hold", "waited", "wait %", "longest wait");
    auto const whole = static_cast<double>(std::max<std::uint64_t>(shown.end - shown.begin, 1));
    for (timeline::lane const& each : shown.lanes) {
        totals const held = totals_of(each.holds);
        totals const waited = totals_of(each.waits);
        print(told, "%-24s %7zu %8s %6.1f%% %13s %8s %6.1f%% %13s\n", in_words(each).c_str(),
              each.holds.size(), in_words(held.sum).c_str(),
              100 * static_cast<double>(held.sum) / whole, in_words(held.longest).c_str(),
              in_words(waited.sum).c_str(), 100 * static_cast<double>(waited.sum) / whole,
              in_words(waited.longest).c_str());
    }
    return told;
}

constexpr std::size_t most_told = 10;

struct waiting {
    timeline::lane const* who;
    timeline::wait const* how_long;

    [[nodiscard]] std::uint64_t length() const { return how_long->end - how_long->begin; }
};

/// The longest of the program's waits that `which` chooses, as many as are shown; and how many
/// there are in all.
template <class Which>
std::pair<std::vector<waiting>, std::size_t> longest_waits(timeline const& shown, Which which) {
    std::vector<waiting> all;
    for (timeline::lane const& each : shown.lanes) {
        for (timeline::wait const& waited : each.waits) {
            if (which(waited) && !each.is_giltraces()) {
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

constexpr auto why_nobody = ": the system ran other threads, or processes";

char const* nobody(bool is_incomplete) {
    return is_incomplete ? "nobody that is known (events are missing)" : "nobody";
}

std::string worst_waits(timeline const& shown) {
    auto const [worst, count] = longest_waits(shown, [](auto const&) { return true; });
    std::string told = worst.empty() ? "" : "worst waits\n";
    wait_causes causes(shown);
    for (waiting const& each : worst) {
        auto const culprit = causes.of(*each.how_long);
        told += "  " + in_words(each.length()) + "  " + in_words(*each.who) + " at " +
                in_words(each.how_long->begin - shown.begin);
        if (culprit.who != nullptr) {
            told += ", while " + in_words(*culprit.who) + " held it for " + in_words(culprit.took) +
                    " of that, most of it in " + shown.name_of(*culprit.what);
        } else {
            told += std::string(", while ") + nobody(shown.is_incomplete(*each.how_long)) +
                    " held it for " + in_words(culprit.took) + " of that" +
                    (shown.is_incomplete(*each.how_long) ? "" : why_nobody);
        }
        if (!each.how_long->ended_in_a_take) {
            told +=
                each.how_long->end == shown.end ? "; it did not get it" : "; its end is missing";
        }
        told += '\n';
    }
    return told;
}

/// Which threads waited for the GIL, and which held it, when the process was killed: all that a
/// recording tells of a deadlock.
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

std::string and_more(std::size_t count) {
    return count > 1 ? " and " + std::to_string(count - 1) + " more" : "";
}

/// What is missing in the recording.
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
        print(told,
              "%llu events are missing, from %s on to %s: there was no room for them in the "
              "recording (%s): make room, write it elsewhere, or keep the last seconds only "
              "(--last)\n",
              static_cast<unsigned long long>(shown.lost),
              in_words(shown.gap_begin - shown.begin).c_str(),
              in_words(shown.gap_end - shown.begin).c_str(), shown.lost_why.c_str());
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

std::string in_words(std::uint64_t nanoseconds) {
    auto const value = static_cast<double>(nanoseconds);
    std::string told;
    if (nanoseconds < 1'000) {
        print(told, "%.0f ns", value);
    } else if (nanoseconds < 999'500) {  // three digits would make 1000 of it
        print(told, "%.3g us", value / 1e3);
    } else if (nanoseconds < 999'500'000) {
        print(told, "%.3g ms", value / 1e6);
    } else {
        print(told, "%.4g s", value / 1e9);
    }
    return told;
}

std::string in_words(timeline::lane const& thread) {
    return "'" + thread.name + "' " + std::to_string(thread.thread);
}

namespace {

struct told_answer {
    std::string what;      // happened, in one line
    std::string cure{};    // a line; empty: none is known
};

// Of a hold that ended in no Python function, and whose stack was not taken.
constexpr auto cure_of_unknown_code =
    "  do: this is native code, or threads that ended in these holds: --stack-after 0.001 takes "
    "the "
    "stacks of shorter holds as well\n";

// Of a Python function most of whose holds are too short to be looked at.
constexpr auto cure_of_short_calls =
    "  do: most of these holds outlast Python's switch interval (5 ms), so what this function "
    "calls may not release the GIL, unless the machine is busy: --stack-after 0.002 names native "
    "code in holds that short\n";

constexpr auto cure_of_hang =
    "  do: run it with `python3 -m gilwatch`, which says in which line the holder is\n";

/// What to do if that held the GIL for long; empty: not known.
std::string cure_of(timeline::activity const& held) {
    if (held.name == timeline::unfinished) {
        return cure_of_hang;
    }
    if (held.what != timeline::activity::kind::native) {
        return {};
    }
    if (held.stack.empty()) {
        return cure_of_unknown_code;
    }
    call_frame const all{.function = held.stack, .source = {}, .file = {}};
    return "  do: release the GIL around what does not touch Python: " +
           guards_that_release(std::span(&all, 1)) + "\n";
}

/// For a process that hung, or hangs: which threads waited at the end, if none waited longer
/// before. Nothing: one did.
std::optional<told_answer> hang(timeline const& shown) {
    auto const [worst, count] = longest_waits(shown, [](auto const&) { return true; });
    auto const [unfinished, hung] = longest_waits(shown, [&](timeline::wait const& each) {
        return !each.ended_in_a_take && each.end == shown.end;
    });
    if (shown.was_ended || unfinished.empty() || unfinished[0].length() < worst[0].length()) {
        return std::nullopt;
    }
    std::string told = in_words(*unfinished[0].who) + and_more(hung) +
                       (shown.goes_on ? " was waiting for the GIL when this was written, for "
                                      : " was still waiting for the GIL at the end, for ") +
                       in_words(unfinished[0].length()) + ", while ";
    for (timeline::lane const& each : shown.lanes) {
        if (!each.holds.empty() && each.holds.back().end == shown.end) {
            auto const& activity = shown.activities.at(each.holds.back().activity);
            return told_answer{.what = told + in_words(each) + " held it: " + activity.name,
                               .cure = cure_of(activity)};
        }
    }
    return told_answer{.what = told + nobody(shown.is_incomplete(*unfinished[0].how_long)) +
                               " held it"};
}

/// Whether a Python function held the GIL in many calls of native code, each too short for its
/// stack to be taken. Python code itself drops the GIL after the switch interval, or a little later
/// where other programs run.
bool is_of_short_calls(timeline::activity const& held, worst_cause const& cause) {
    static constexpr std::size_t many = 10;
    static constexpr std::chrono::microseconds over_switch_interval{5700};
    std::chrono::nanoseconds const usual(cause.quartile);
    return held.what == timeline::activity::kind::function && cause.holds >= many &&
           usual > over_switch_interval && usual < giltrace::options{}.stack_after;
}

told_answer answer(timeline const& shown) {
    static constexpr std::uint64_t long_wait = 10'000'000;  // twice the switch interval
    auto const [worst, count] = longest_waits(shown, [](auto const&) { return true; });
    if (worst.empty()) {
        return {.what = "nobody waited for the GIL"};
    }
    if (std::optional<told_answer> hung = hang(shown)) {
        return *std::move(hung);
    }
    worst_cause const cause = worst_cause_of(shown);
    std::uint64_t const whole = shown.end - shown.begin;
    if (cause.waited < whole / 100 && worst[0].length() < long_wait) {
        return {.what = "nobody waited for the GIL for long: for " + in_words(worst[0].length()) +
                        " at most, and " + in_words(cause.waited) + " of " + in_words(whole) +
                        " in all"};
    }
    if (cause.held < cause.nobody || cause.holder == nullptr || cause.waiter == nullptr) {
        return {.what = in_words(*worst[0].who) + " waited longest for the GIL, for " +
                        in_words(worst[0].length()) + "; of the " + in_words(cause.waited) +
                        " in which threads waited, " + nobody(shown.lost != 0) + " held it for " +
                        in_words(cause.nobody) + (shown.lost != 0 ? "" : why_nobody)};
    }
    auto const& activity = shown.activities[cause.activity];
    std::string name = activity.name;
    if (activity.what == timeline::activity::kind::function && !cause.end.empty() &&
        cause.end != name) {
        auto const line = cause.end.rfind(':') + 1;
        name += ", ending in line " + cause.end.substr(line, cause.end.size() - line - 1);
    }
    std::string told = name + (name.find(", ") == std::string::npos ? "" : ",") +
                       " held the GIL for " + in_words(cause.held) +
                       (cause.holds == 1 ? " at once, in " : ", in ") + in_words(*cause.holder) +
                       and_more(cause.holders) + ", while " + in_words(*cause.waiter) +
                       and_more(cause.waiters) + " waited for it";
    if (cause.holds > 1) {
        told += " (" + std::to_string(cause.holds) + " holds, the longest " +
                in_words(cause.longest) + ")";
    }
    return {.what = told,
            .cure = is_of_short_calls(activity, cause) ? cure_of_short_calls : cure_of(activity)};
}

}  // namespace

std::string answer_of(timeline const& shown) {
    auto const [what, cure] = answer(shown);
    return "giltrace: " + what +
           (shown.lost == 0 ? "" : "; " + std::to_string(shown.lost) + " events are missing") +
           "\n" + cure;
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
    return answer_of(shown) + told + unfinished_waits(shown) + table(shown) + worst_waits(shown) +
           faults(shown);
}

std::string notes_on(timeline const& shown) { return unfinished_waits(shown) + faults(shown); }

}  // namespace handoff::detail
