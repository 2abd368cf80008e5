// timeline: makes intervals of the events.
#include "timeline.hpp"

#include "gil_recording.hpp"
#include "stacks_seen.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace handoff::detail {

using namespace recorded;

namespace {

[[noreturn]] void refuse(std::string const& path, std::string_view why) {
    throw std::runtime_error("giltrace: '" + path + "' " + std::string(why) +
                             " of the GIL: a process that was killed leaves one beside the output, "
                             "OUTPUT.recording");
}

/// A file, mapped for reading.
class mapped_file {
public:
    explicit mapped_file(std::string const& path) {
        // Opening a pipe must not wait for a process that writes into it.
        int const file = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        struct stat status{};
        void* mapped = MAP_FAILED;
        bool const is_file = file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode);
        if (is_file && status.st_size > 0) {
            size_ = static_cast<std::size_t>(status.st_size);
            mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
        }
        int const failure = errno;
        if (file >= 0) {
            close(file);
        }
        if (mapped == MAP_FAILED) {
            if (file >= 0 && size_ == 0) {
                refuse(path, is_file ? "is empty: it is not a recording"
                                     : "is not a file: it is not a recording");
            }
            throw std::system_error(failure, std::generic_category(),
                                    "giltrace: cannot read '" + path +
                                        "' (a process that was killed leaves its recording beside "
                                        "its output, OUTPUT.recording)");
        }
        begin_ = static_cast<std::byte const*>(mapped);
    }
    ~mapped_file() { munmap(const_cast<std::byte*>(begin_), size_); }
    mapped_file(mapped_file const&) = delete;
    mapped_file& operator=(mapped_file const&) = delete;

    [[nodiscard]] std::span<std::byte const> bytes() const { return {begin_, size_}; }

private:
    std::byte const* begin_ = nullptr;
    std::size_t size_ = 0;
};

template <class T>
T const& at(std::span<std::byte const> bytes, std::size_t offset = 0) {
    return *reinterpret_cast<T const*>(bytes.data() + offset);
}

/// The state of a thread between two events.
struct reading {
    std::size_t lane = 0;  // of the timeline's
    std::optional<std::uint64_t> waits_since;
    std::optional<std::uint64_t> holds_since;
    bool began = false;  // after its first event; a thread may have held the GIL before
    // If it has not begun: what its first event shows has lasted since this moment at the latest.
    std::uint64_t unknown_until = 0;
    bool after_gap = false;  // after events that are missing

    /// Whether such an event can be the next one of a thread.
    [[nodiscard]] bool may_follow(kind what) const {
        switch (what) {
            case kind::waits:
                return !waits_since && !holds_since;
            case kind::asks:
                return waits_since.has_value();
            case kind::takes:
                return !holds_since;
            case kind::drops:
                return holds_since || !began;
            case kind::seen:
            case kind::at_line:
                return true;
            case kind::nothing:
                return false;
        }
        return false;
    }
};

/// A thread whose first event is a request has waited since the recording's begin.
/// Returns when something happened that is impossible; 0: nothing did.
std::uint64_t read_events(std::span<std::byte const> bytes, header const& head, moment latest,
                          tick_scale const& scale, timeline::lane& into, reading& state,
                          stacks_seen& seen) {
    std::uint64_t wrong = 0;
    bool const is_live = latest.ticks != head.latest.ticks;
    for (std::size_t place = sizeof(chunk); place + sizeof(event) <= bytes.size();
         place += sizeof(event)) {
        auto const& each = at<event>(bytes, place);
        if (each.when == 0 || (is_live && each.when > latest.ticks)) {
            return wrong;
        }
        std::uint64_t const when = scale.nanoseconds(each.when);
        if (each.what == kind::seen) {
            seen.sightings.push_back({.when = when, .stack = each.name});
            continue;
        }
        if (each.what == kind::at_line) {
            seen.ends.push_back({.when = when, .line = each.name});
            continue;
        }
        if (each.what == kind::asks && !state.began) {
            state.waits_since = std::min(state.unknown_until, when);
        }
        if (each.what == kind::drops && !state.began && (head.kept != 0 || state.after_gap)) {
            // What it did before is no longer kept, or is missing.
            state.holds_since = std::min(state.unknown_until, when);
        }
        if (wrong == 0 && !state.may_follow(each.what)) {
            wrong = when;
        }
        state.began = true;
        switch (each.what) {
            case kind::waits:
                state.waits_since = when;
                break;
            case kind::asks:
                into.asked.push_back(when);
                break;
            case kind::takes:
                if (state.waits_since) {
                    into.waits.push_back(
                        {.begin = *state.waits_since, .end = when, .ended_in_a_take = true});
                }
                state.waits_since.reset();
                state.holds_since = when;
                break;
            case kind::drops:
                if (state.holds_since) {
                    into.holds.push_back(
                        {.begin = *state.holds_since, .end = when, .activity = each.name});
                }
                state.holds_since.reset();
                break;
            case kind::seen:
            case kind::at_line:
            case kind::nothing:
                break;
        }
    }
    return wrong;
}

/// See recorded::is_place.
code_place place_in(std::string const& text) {
    auto const first = text.find(' ');
    auto const second = text.find(' ', first + 1);
    auto const line = text.find('\n');
    code_place place{
        .file = "?", .offset = 0, .function = 0, .exported = {}, .beside_python = false};
    if (first < second && second < line && line != std::string::npos) {
        place.file = text.substr(second + 1, line - second - 1);
        place.exported = text.substr(line + 1);
        place.beside_python = text.starts_with('p');
        std::from_chars(text.data() + 1, text.data() + first, place.offset, 16);
        std::from_chars(text.data() + first + 1, text.data() + second, place.function, 16);
    }
    return place;
}

void read_names(std::span<std::byte const> bytes, timeline& into,
                std::map<pid_t, std::string>& threads, stacks_seen& seen) {
    std::size_t place = sizeof(chunk);
    while (place + sizeof(name) <= bytes.size()) {
        auto const& each = at<name>(bytes, place);
        std::size_t const text = place + sizeof(name);
        if (each.length == 0 || text + each.length > bytes.size()) {
            return;
        }
        std::string read(reinterpret_cast<char const*>(bytes.data() + text), each.length);
        std::uint32_t const number = each.number & ~is_of_a_kind;
        switch (each.number & is_of_a_kind) {
            case is_thread:
                threads[static_cast<pid_t>(number)] = std::move(read);
                break;
            case is_stack:
                seen.stacks[number] = std::move(read);
                break;
            case is_place:
                seen.places[number] = place_in(read);
                break;
            case is_line:
                seen.lines[number] = read.substr(1);
                break;
            default:
                into.activities.resize(std::max<std::size_t>(into.activities.size(), number + 1));
                into.activities[number] = {.name = std::move(read),
                                           .what = (each.number & is_label) != 0
                                                       ? timeline::activity::kind::label
                                                       : timeline::activity::kind::function};
        }
        place = (text + each.length + 7) / 8 * 8;
    }
}

/// Events of a thread are missing from a moment on: what it did before ended then at the latest.
/// missing: the name of a hold whose end is missing.
void end_at_gap(timeline::lane& thread, reading& state, std::uint64_t when, std::uint64_t gap_end,
                std::uint32_t missing) {
    if (state.holds_since) {
        thread.holds.push_back({.begin = *state.holds_since,
                                .end = std::max(when, *state.holds_since),
                                .activity = missing});
    }
    if (state.waits_since) {
        thread.waits.push_back({.begin = *state.waits_since,
                                .end = std::max(when, *state.waits_since),
                                .ended_in_a_take = false});
    }
    state = {.lane = state.lane,
             .waits_since = {},
             .holds_since = {},
             .unknown_until = std::max(when, gap_end),
             .after_gap = true};
}

}  // namespace

timeline timeline::read(std::string const& path) { return read(path, nullptr); }

timeline timeline::read(std::string const& path, moment until) { return read(path, &until); }

timeline timeline::read(std::string const& path, moment const* until) {
    mapped_file const file(path);
    auto const bytes = file.bytes();
    if (bytes.size() < page || std::memcmp(bytes.data(), "giltrace", 8) != 0) {
        refuse(path, "is not a recording");
    }
    if (at<header>(bytes).version != version) {
        throw std::runtime_error("giltrace: '" + path +
                                 "' is a recording of another version of giltrace: draw it with "
                                 "the one that has recorded it");
    }
    auto const& head = at<header>(bytes);
    timeline made;
    made.process = head.process;
    made.program = head.program;
    made.begin = head.begin.nanoseconds;
    made.was_ended = head.was_ended != 0;
    made.goes_on = until != nullptr;
    made.activities.push_back({.name = "native code"});
    moment const latest = until != nullptr ? *until : head.latest;
    tick_scale const scale(head.begin, latest);
    if (head.lost != 0 && (until == nullptr || head.lost_since <= latest.ticks)) {
        made.lost = head.lost;
        made.lost_why = std::generic_category().message(head.lost_error);
        made.gap_begin = scale.nanoseconds(head.lost_since);
        made.gap_end = scale.nanoseconds(head.lost_until);
    }
    std::map<std::uint32_t, reading> readings;  // by the recording's lane
    std::map<pid_t, std::string> threads;
    stacks_seen seen;
    std::vector<std::span<std::byte const>> chunks;  // of events
    for (std::size_t place = page; place + sizeof(chunk) <= bytes.size();) {
        auto const& each = at<chunk>(bytes, place);
        if (each.size < page || each.size > bytes.size() - place) {
            break;  // it was just being made
        }
        auto const content = bytes.subspan(place, each.size);
        if (each.what == content::names) {
            read_names(content, made, threads, seen);
        } else if (each.what == content::events) {
            chunks.push_back(content);
        }
        place += each.size;
    }
    // A chunk that is reused is not at its place in the order of time.
    std::ranges::stable_sort(chunks, {}, [](auto const& each) {
        auto const first = at<event>(each, sizeof(chunk)).when;
        return first == 0 ? std::numeric_limits<std::uint64_t>::max() : first;
    });
    auto const missing = static_cast<std::uint32_t>(made.activities.size());
    if (made.lost != 0) {
        made.activities.push_back({.name = "a hold whose end is missing"});
    }
    for (auto const& content : chunks) {
        auto const& each = at<chunk>(content);
        auto const [known, is_new] = readings.try_emplace(each.lane);
        if (is_new) {
            known->second.lane = made.lanes.size();
            known->second.unknown_until = head.begin.nanoseconds;
            made.lanes.emplace_back();
        }
        lane& thread = made.lanes[known->second.lane];
        thread.thread = each.thread;
        thread.name.assign(each.name, strnlen(each.name, sizeof each.name));
        auto const wrong = read_events(content, head, latest, scale, thread, known->second, seen);
        if (wrong != 0 && made.disorder.empty()) {
            made.disorder = "what thread " + std::to_string(thread.thread) + " did at " +
                            std::to_string(wrong) + " cannot follow what it did before";
        }
        if (made.lost != 0 && each.lost_since != 0 && each.lost_since <= latest.ticks) {
            end_at_gap(thread, known->second, scale.nanoseconds(each.lost_since), made.gap_end,
                       missing);
        }
    }
    made.end = latest.nanoseconds;
    if (!made.was_ended && !made.goes_on) {
        made.end = made.begin;
        for (lane const& each : made.lanes) {
            made.end = std::max({made.end, each.holds.empty() ? 0 : each.holds.back().end,
                                 each.waits.empty() ? 0 : each.waits.back().end,
                                 each.asked.empty() ? 0 : each.asked.back()});
        }
        for (auto const& [number, state] : readings) {
            made.end =
                std::max({made.end, state.holds_since.value_or(0), state.waits_since.value_or(0)});
        }
    }
    // The function of a hold is recorded when the hold ends.
    auto const unfinished = made.was_ended ? 0 : static_cast<std::uint32_t>(made.activities.size());
    if (!made.was_ended) {
        made.activities.push_back(
            {.name = made.goes_on ? "a hold that goes on" : timeline::unfinished});
    }
    for (auto const& [number, state] : readings) {
        lane& thread = made.lanes[state.lane];
        if (state.holds_since) {
            thread.holds.push_back({.begin = *state.holds_since,
                                    .end = std::max(made.end, *state.holds_since),
                                    .activity = unfinished});
        }
        if (state.waits_since) {
            thread.waits.push_back({.begin = *state.waits_since,
                                    .end = std::max(made.end, *state.waits_since),
                                    .ended_in_a_take = false});
        }
    }
    auto const main = threads.find(made.process);
    std::string const programs = main == threads.end() ? "" : main->second;
    // If a thread's id was used again, the last thread has the name.
    for (auto each = made.lanes.rbegin(); each != made.lanes.rend(); ++each) {
        if (auto const named = threads.extract(each->thread)) {
            each->name = named.mapped();
        }
        if (each->thread == made.process) {
            each->name = "MainThread";  // Python's name for it; the system has the program's name
        } else if (each->name == programs) {
            each->name = "native thread";  // it has none of its own: Python's threads have
        }
    }
    if (head.kept != 0 && made.end - made.begin > head.kept) {
        made.begin_at(made.end - head.kept);
    }
    made.name_unnamed();
    made.sort_holds();
    made.name_native_code(seen);
    return made;
}

/// There was no room for a name.
void timeline::name_unnamed() {
    auto const unnamed = static_cast<std::uint32_t>(activities.size());
    bool is_any = false;
    for (lane& each : lanes) {
        for (hold& held : each.holds) {
            if (held.activity >= unnamed || activities[held.activity].name.empty()) {
                held.activity = unnamed;
                is_any = true;
            }
        }
    }
    if (is_any) {
        activities.push_back({.name = "a function whose name is missing"});
    }
}

void timeline::begin_at(std::uint64_t time) {
    begin = time;
    if (gap_end < time) {
        lost = 0;
    }
    gap_begin = std::max(gap_begin, time);
    auto const keep_later = [time](auto& intervals) {
        std::erase_if(intervals, [time](auto const& each) { return each.end <= time; });
        for (auto& each : intervals) {
            each.begin = std::max(each.begin, time);
        }
    };
    for (lane& each : lanes) {
        keep_later(each.holds);
        keep_later(each.waits);
        std::erase_if(each.asked, [time](std::uint64_t when) { return when < time; });
    }
    std::erase_if(lanes, [](lane const& each) { return each.holds.empty() && each.waits.empty(); });
}

void timeline::sort_holds() {
    for (lane& each : lanes) {
        for (hold& held : each.holds) {
            all_holds_.push_back({.who = &each, .what = &held});
        }
    }
    std::ranges::sort(all_holds_, {}, [](holding const& each) {
        return std::pair(each.what->begin, each.what->end);
    });
}

std::string timeline::contradiction() const {
    auto const told = [](lane const& who, std::uint64_t since) {
        return "'" + who.name + "' (" + std::to_string(who.thread) + ") since " +
               std::to_string(since);
    };
    holding const* before = nullptr;
    for (holding const& each : all_holds()) {
        if (before != nullptr && each.what->begin < before->what->end) {
            return "two threads held the GIL at once: " + told(*before->who, before->what->begin) +
                   ", and " + told(*each.who, each.what->begin);
        }
        before = &each;
    }
    return disorder;
}

}  // namespace handoff::detail
