// deadlock: names the user's functions on each side, and what to do, by the pattern that it is.
#include "deadlock.hpp"

#include "call_frames.hpp"
#include "current_function.hpp"
#include "gil_events.hpp"
#include "handoff_pieces.hpp"
#include "held_locks.hpp"
#include "json.hpp"
#include "mixed.hpp"
#include "python_locks.hpp"
#include "python_stacks.hpp"
#include "report_log.hpp"
#include "reported_once.hpp"
#include "stack_lines.hpp"
#include "thread_names.hpp"
#include "thread_stacks.hpp"
#include <handoff/gil/detail/stack.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>
#include <unistd.h>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace {

/// Of a deeper stack only the innermost calls were kept.
bool is_cut(whole_stack const& stack) noexcept { return stack.count == stack.addresses.size(); }

template <std::size_t Most>
std::vector<call_frame> frames_of(calls<Most> const& stack) {
    std::vector<void const*> instructions;
    instructions.reserve(stack.count);
    for (std::uint32_t each = 0; each < stack.count; ++each) {
        // A return address is that of the next instruction.
        instructions.push_back(static_cast<char const*>(stack.addresses.at(each)) - 1);
    }
    return call_frames(instructions);
}

std::string name_of(acting_thread const& thread) {
    std::string name(thread.name.data());
    if (name.empty()) {
        name = system_name_of(thread.id);
    }
    return (thread.id == getpid() ? "" : "thread ") + thread_in_words(thread.id, name);
}

std::string_view kind_in_words(lock_kind kind) {
    switch (kind) {
        case lock_kind::gil:
            return "the GIL";
        case lock_kind::mutex:
            return "the mutex";
        case lock_kind::shared_mutex:
            return "the reader-writer lock";
        case lock_kind::spin_lock:
            return "the spin lock";
        case lock_kind::once_flag:
            return "the once flag";
        case lock_kind::static_guard:
            return "the initialisation of the static object";
        case lock_kind::semaphore:
            return "the semaphore";
        case lock_kind::python_lock:
            return "the Python lock";
        case lock_kind::none:
            break;
    }
    return "a lock that no longer exists";
}

/// "sinks_lock", or for a Python lock where it was first taken; empty if it has no such name.
std::string name_of(lock_seen const& lock) {
    if (lock.kind == lock_kind::gil || lock.object == nullptr) {
        return {};
    }
    if (lock.kind == lock_kind::python_lock) {
        return place_of_python_lock(lock.number);
    }
    static auto& names = *new symbols();
    std::string name = names.find(lock.object).function;
    static constexpr std::string_view of_guard = "guard variable for ";
    if (name.starts_with(of_guard)) {
        name.erase(0, of_guard.size());
    }
    return name;
}

/// "the mutex sinks_lock", or its address if it has no name.
std::string in_words(lock_seen const& lock) {
    std::string words(kind_in_words(lock.kind));
    if (lock.kind == lock_kind::gil || lock.object == nullptr) {
        return words;
    }
    std::string const name = name_of(lock);
    if (lock.kind == lock_kind::python_lock && !name.empty()) {
        return words + " first taken in " + name;
    }
    std::array<char, 32> address{};
    std::snprintf(address.data(), address.size(), "%#" PRIxPTR,
                  reinterpret_cast<std::uintptr_t>(lock.object));
    return words + ' ' + (name.empty() ? std::string(address.data()) : name);
}

/// Where the user's code is on a stack: "log() at log.cpp:12"; or the Python function; or nothing.
struct described_place {
    std::vector<call_frame> frames;
    bool is_cut;
    std::string users;   // in words
    std::string python;  // "f (file.py:12)"
    std::string no_frame;  // why the user's function is not among the frames
};

described_place described(acting_place const& place) {
    described_place told{.frames = frames_of(place.stack),
                         .is_cut = is_cut(place.stack),
                         .users = {},
                         .python = {},
                         .no_frame = {}};
    if (std::string_view const python = place.python.data(); !python.empty()) {
        told.python = place_in_words(python);
    }
    std::span<call_frame const> const of_interest = called_by_python(told.frames);
    if (call_frame const* const users = users_frame(of_interest)) {
        told.users = in_words(*users);
        if (users->source.empty() && !told.python.empty()) {
            told.users += ", called by " + told.python + ',';
        }
    } else if (auto const call = find_call_without_caller(of_interest)) {
        told.users = "a function of " + call->module +
                     (told.python.empty() ? "" : ", called by Python's " + told.python + ',');
        told.no_frame = "the function of " + call->module + " that called " + call->function + ' ' +
                        std::string(call_without_caller::reason);
    } else if (!told.python.empty()) {
        told.users = "Python's " + told.python;
    } else {
        told.users = "code of " + (told.frames.empty() ? "?" : told.frames.front().file);
    }
    return told;
}

std::string since(short_stack const* where) {
    if (where == nullptr) {
        return {};
    }
    auto const frames = frames_of(*where);
    call_frame const* const users = users_frame(called_by_python(frames));
    return users == nullptr ? std::string() : ", locked by " + in_words(*users);
}

std::string takes(lock_finding const& found, lock_edge const& edge, lock_seen const& wanted) {
    if (found.happens) {
        return "waits for " + in_words(wanted);
    }
    if (wanted.kind == lock_kind::gil) {
        return edge.predicted ? "calls Python, which may release the GIL and take it again"
                              : "takes the GIL";
    }
    return (wanted.kind == lock_kind::static_guard || wanted.kind == lock_kind::once_flag
                ? "waits for "
                : "locks ") +
           in_words(wanted);
}

/// The side of a cycle that waits with the GIL held, or would; nothing: none does.
std::optional<std::size_t> side_with_gil(lock_cycle const& cycle) {
    auto const locks = std::span(cycle.locks).first(cycle.count);
    auto const gil = std::ranges::find(locks, lock_kind::gil, &lock_seen::kind);
    return gil == locks.end() ? std::nullopt
                              : std::optional(static_cast<std::size_t>(gil - locks.begin()));
}

/// frames: of the thread that waits with the GIL held, or would.
std::string advice(lock_finding const& found, std::span<call_frame const> frames) {
    auto const stack = called_by_python(frames);
    if (found.what != lock_finding::kind::cycle) {
        std::string const piece(piece_that_releases(stack));
        return "Release the GIL before you wait for a thread that takes it: " +
               (piece.empty() ? "" : piece + "; or by hand: ") + guards_that_release(stack) + ".";
    }
    bool of_gil = false;
    bool of_mutex = false;
    bool of_static = false;
    bool of_python = false;
    for (std::size_t each = 0; each < found.cycle.count; ++each) {
        lock_kind const kind = found.cycle.locks.at(each).kind;
        of_gil = of_gil || kind == lock_kind::gil;
        of_mutex = of_mutex || kind == lock_kind::mutex || kind == lock_kind::shared_mutex;
        of_python = of_python || kind == lock_kind::python_lock;
        of_static = of_static || kind == lock_kind::static_guard || kind == lock_kind::once_flag;
    }
    if (of_gil && of_static) {
        return "Run no Python code where something is initialised once: it may release the GIL, "
               "and a second thread then waits for the initialisation with the GIL held. Make the "
               "value by handoff::gil_once<T>; or initialise it when the module is imported; or "
               "release the GIL around the whole, and acquire it within the initialiser.";
    }
    if (of_gil) {
        return std::string("Release the GIL before you wait for the lock (") +
               (of_mutex ? "handoff::gil_lock in place of std::scoped_lock, wherever it is locked; "
                           "or by hand: "
                         : "") +
               guards_that_release(stack) +
               "). Or do not touch Python while you hold it: copy under the lock what the call "
               "needs, unlock, and call then.";
    }
    if (of_python) {
        return "Take these locks in the same order everywhere; or, while you hold one of them, do "
               "not call what takes another: copy what the call needs, unlock, and call then.";
    }
    return "Take these locks in the same order everywhere, or all at once: "
           "std::scoped_lock both(a, b) never deadlocks.";
}

struct writer {
    bool colours = shows_colours();
    std::string text{};

    void head(std::string const& what) {
        text += (colours ? "\033[1;31m" : "") + what + (colours ? "\033[0m" : "") + '\n';
    }
    void line(std::string const& head, std::string const& rest) {
        text += "  " + std::string(colours ? "\033[1m" : "") + head + (colours ? "\033[0m" : "") +
                rest + '\n';
    }
    /// As far as the Python function that called it.
    void stack(std::vector<call_frame> const& frames, bool is_cut) {
        auto const shown = called_by_python(frames);
        text += stack_lines(shown);
        if (is_cut && shown.size() == frames.size()) {
            text += "      … the calls further out were not kept\n";
        }
    }
};

void note_what_the_gil_is(writer& told) {
    if (attachment_is_asked_for) {
        told.line("note     ",
                  "this Python has no GIL: a thread that is attached counts as its holder, and one "
                  "that attaches takes it. They wait for each other if another thread stops all "
                  "threads meanwhile, as a garbage collection does");
    }
}

std::uint64_t hash_of(whole_stack const& stack) noexcept {
    std::uint64_t hash = 0;
    std::uint32_t used = 0;
    for (std::uint32_t each = 0; each < stack.count && used < 3; ++each) {
        void const* const address = stack.addresses.at(each);
        if (!is_of_interpreter(address)) {
            hash = mixed(hash ^ reinterpret_cast<std::uintptr_t>(address));
            ++used;
        }
    }
    return hash;
}

}  // namespace

bool is_new_finding(lock_finding const& found) noexcept {
    static constinit reported_once<1024> known;
    static constinit reported_once<1024> happened;  // perhaps known as possible before
    std::uint64_t hash = static_cast<std::uint64_t>(found.what) + 1;
    for (std::size_t each = 0; each < found.cycle.count; ++each) {
        hash += hash_of(found.cycle.edges.at(each).wanted.stack);
    }
    hash += hash_of(found.waits.stack);
    hash |= 1U;  // 0 is none
    bool const is_first = known.is_first(hash);
    return found.happens ? happened.is_first(hash) : is_first;
}

namespace {

/// Without the innermost frames that are the wait itself: libc's, and this tool's.
whole_stack stack_of(thread_stack const& answer) {
    constexpr std::ptrdiff_t most_of_a_wait = 12;
    std::span<void* const> frames = answer.frames;
    auto const is_ours = [](void* each) { return is_of_this_tool(each); };
    auto const end = frames.begin() + std::min(std::ssize(frames), most_of_a_wait);
    if (auto const ours = std::find_if(frames.begin(), end, is_ours); ours != end) {
        frames = frames.subspan(
            static_cast<std::size_t>(std::find_if_not(ours, end, is_ours) - frames.begin()));
    }
    whole_stack taken;
    taken.count = static_cast<std::uint32_t>(std::min(frames.size(), taken.addresses.size()));
    std::ranges::copy(frames.first(taken.count), taken.addresses.begin());
    return taken;
}

/// From "f() at file.py:12" to the form of write_place(); empty if it is too long.
void write_python(std::string_view line, std::span<char> to) {
    static constexpr std::string_view between = " at ";
    std::ranges::fill(to, '\0');
    auto const end = line.rfind(between);
    if (end == std::string_view::npos || line.size() >= to.size()) {
        return;
    }
    std::string_view name = line.substr(0, end);
    name.remove_suffix(name.ends_with("()") ? 2 : 0);
    std::ranges::copy(std::string(name).append("\n").append(line.substr(end + between.size())),
                      to.begin());
}

}  // namespace

void ask_where_they_are(lock_finding& found) {
    stack_signal const asking([]() noexcept -> bool { return handoff_gil_held; });
    std::string const stacks = python_stacks();
    for (std::size_t each = 0; each < found.cycle.count; ++each) {
        acting_place& place = found.cycle.edges.at(each).wanted;
        thread_stack const answer = asking.ask_thread(place.thread.id, [](pid_t) { return true; });
        answer.name.copy(place.thread.name.data(), place.thread.name.size() - 1);
        if (answer.silent.empty()) {
            place.stack = stack_of(answer);
            auto const lines = python_lines(python_stack_of(answer.handle, stacks));
            write_python(lines.empty() ? "" : lines.front(), place.python);
        }
    }
}

namespace {

struct loss_in_words {
    std::string_view name;  // of JSON's key "of"
    std::string_view kept;  // "65,000 orders of two locks are kept"
    std::string_view lost;
    std::string_view advice;
};

loss_in_words const& words_for(lost_room what) {
    static constexpr std::string_view in_parts =
        "Run parts of the program one at a time: its tests, say.";
    static constexpr std::array words = std::to_array<loss_in_words>({
        {.name = "locks",
         .kept = "262,000 locks are watched at a time, and the oldest make room",
         .lost = "a deadlock with one of those is not found until both orders are seen again",
         .advice = in_parts},
        {.name = "orders",
         .kept = "65,000 orders of two locks are kept, and the oldest make room",
         .lost = "a deadlock with one of those is not found until it is seen again",
         .advice = in_parts},
        {.name = "searches",
         .kept = "a search for a deadlock ends at 4,096 locks or 8,192 orders",
         .lost = "a deadlock beyond may not be found",
         .advice = in_parts},
        {.name = "threads",
         .kept = "16,384 threads are watched at a time",
         .lost = "what the others lock is not seen",
         .advice = "Run it with fewer threads."},
        {.name = "held_locks",
         .kept = "48 locks that one thread holds at a time are watched",
         .lost = "what is held beyond is not seen",
         .advice = "Run it with less data, so that a thread locks fewer at a time."},
        {.name = "findings",
         .kept = "16 findings are kept until they are written",
         .lost = "another was found meanwhile, and is not reported",
         .advice = "Fix what is reported, and run it again."},
    });
    static_assert(words.size() == kinds_of_lost_room);
    return words.at(static_cast<std::size_t>(what));
}

}  // namespace

std::string text_of(lost_room what) {
    loss_in_words const& told = words_for(what);
    return std::string("gilcheck: note: not every deadlock can be found from now on: ")
        .append(told.kept)
        .append("; ")
        .append(told.lost)
        .append(". ")
        .append(told.advice)
        .append("\n");
}

std::string json_of(lost_room what) {
    loss_in_words const& told = words_for(what);
    return R"({"tool": "gilcheck", "note": "no_more_room", "of": )" + json_string(told.name) +
           ", \"kept\": " + json_string(told.kept) +
           ", \"what_is_lost\": " + json_string(told.lost) +
           ", \"what_to_do\": " + json_string(told.advice) + "}\n";
}

std::string text_of(lock_finding const& found) {
    writer told;
    if (found.what != lock_finding::kind::cycle) {
        described_place const waits = described(found.waits);
        described_place const other = described(found.other);
        auto const takes_gil = frames_of(found.took_gil.first);
        bool const joins = found.what == lock_finding::kind::joins_with_gil;
        told.head(std::string("gilcheck: ") +
                  (found.happens ? "deadlock: " : "possible deadlock: ") + waits.users +
                  (joins ? " joins a thread" : " waits") + " with the GIL held, and " +
                  (joins ? "that thread" : "the thread that wakes it") +
                  (found.happens ? " waits for the GIL" : " takes the GIL"));
        told.line("waits    ", name_of(found.waits.thread) +
                                   (waits.python.empty() ? "" : ", in " + waits.python));
        told.stack(waits.frames, waits.is_cut);
        if (!waits.no_frame.empty()) {
            told.line("note     ", waits.no_frame);
        }
        told.line(
            joins ? "joined   " : "wakes    ",
            name_of(found.other.thread) + (other.python.empty() ? "" : ", in " + other.python));
        told.stack(other.frames, other.is_cut);
        if (!takes_gil.empty()) {
            std::array<char, 96> how_often{};
            std::snprintf(how_often.data(), how_often.size(),
                          "has taken the GIL %" PRIu64 " %s before, first %.3g s ago, at",
                          found.took_gil.count, found.took_gil.count == 1 ? "time" : "times",
                          std::chrono::duration<double>(found.took_gil.since_first).count());
            told.line(how_often.data(), "");
            told.stack(takes_gil, is_cut(found.took_gil.first));
        }
        note_what_the_gil_is(told);
        told.line("do       ", advice(found, waits.frames));
        return told.text;
    }
    lock_cycle const& cycle = found.cycle;
    std::vector<described_place> places;
    std::string summary;
    for (std::size_t each = 0; each < cycle.count; ++each) {
        lock_edge const& edge = cycle.edges.at(each);
        lock_seen const& wanted = cycle.locks.at((each + 1) % cycle.count);
        places.push_back(described(edge.wanted));
        summary += (each == 0                 ? ""
                    : each + 1 == cycle.count ? ", and "
                                              : ", ") +
                   places.back().users + ' ' + takes(found, edge, wanted) + " with " +
                   (cycle.locks.at(each).kind == lock_kind::gil
                        ? "the GIL held"
                        : in_words(cycle.locks.at(each)) + " held");
    }
    told.head((found.happens ? "gilcheck: deadlock: " : "gilcheck: possible deadlock: ") + summary);
    for (std::size_t each = 0; each < cycle.count; ++each) {
        lock_edge const& edge = cycle.edges.at(each);
        told.line(std::to_string(each + 1) + "        ",
                  name_of(edge.wanted.thread) + " holds " + in_words(cycle.locks.at(each)) +
                      since(edge.held_since) + ", and " +
                      takes(found, edge, cycle.locks.at((each + 1) % cycle.count)) +
                      (places[each].python.empty() ? "" : ", in Python's " + places[each].python));
        told.stack(places[each].frames, places[each].is_cut);
    }
    auto const with_gil = side_with_gil(cycle);
    if (with_gil) {
        note_what_the_gil_is(told);
    }
    told.line("do       ", advice(found, places[with_gil.value_or(0)].frames));
    return told.text;
}

namespace {

std::string_view kind_of(lock_finding const& found) {
    static constexpr std::array names{"lock_order", "wait_with_gil", "join_with_gil"};
    return names.at(static_cast<std::size_t>(found.what));
}

/// A side by its C++, or by the Python function if no C++ of the user's is on the stack.
void add_side(finding_facts& known, acting_place const& place) {
    auto const frames = frames_of(place.stack);
    auto const of_interest = called_by_python(frames);
    std::string_view const python = place.python.data();
    auto const end = std::min(python.find('\n'), python.size());
    std::string const file(python.substr(std::min(end + 1, python.size())));
    named_function const of_python{.name = std::string(python.substr(0, end)),
                                   .module = file.substr(0, file.rfind(':')),
                                   .source = {}};
    if (users_frame(of_interest) != nullptr || python.empty()) {
        known.add_side(of_interest, 2);  // the innermost may be a guard's constructor
    } else {
        known.sides.push_back({of_python});
        known.add_shown(of_interest);
    }
    if (!python.empty()) {
        known.shown.push_back(of_python);
    }
}

std::string json_of_place(acting_place const& place) {
    described_place const told = described(place);
    std::string frames;
    for (call_frame const& each : told.frames) {
        frames += (frames.empty() ? "" : ", ") + json_string(in_words(each));
    }
    return "\"thread\": " + std::to_string(place.thread.id) +
           ", \"at\": " + json_string(told.users) + ", \"python\": " + json_string(told.python) +
           ", \"stack\": [" + frames + "], \"is_cut\": " + (told.is_cut ? "true" : "false");
}

}  // namespace

finding_facts facts_of(lock_finding const& found) {
    finding_facts known{.kind = kind_of(found)};
    for (std::size_t each = 0; each < found.cycle.count; ++each) {
        add_side(known, found.cycle.edges.at(each).wanted);
        if (std::string name = name_of(found.cycle.locks.at(each)); !name.empty()) {
            known.locks.push_back(std::move(name));
        }
    }
    if (found.what != lock_finding::kind::cycle) {
        add_side(known, found.waits);
        add_side(known, found.other);
        known.add_shown(frames_of(found.took_gil.first));
    }
    return known;
}

std::string json_of(lock_finding const& found) {
    std::string threads;
    if (found.what == lock_finding::kind::cycle) {
        lock_cycle const& cycle = found.cycle;
        for (std::size_t each = 0; each < cycle.count; ++each) {
            threads += (threads.empty() ? "{\"holds\": " : ", {\"holds\": ") +
                       json_string(in_words(cycle.locks.at(each))) + ", \"wants\": " +
                       json_string(in_words(cycle.locks.at((each + 1) % cycle.count))) + ", " +
                       json_of_place(cycle.edges.at(each).wanted) + "}";
        }
    } else {
        acting_place other = found.other;
        if (other.stack.count == 0) {  // it was not asked where it is
            other.stack = found.took_gil.first;
        }
        threads = R"({"holds": "the GIL", )" + json_of_place(found.waits) +
                  R"(}, {"wants": "the GIL", )" + json_of_place(other) +
                  ", \"has_taken_it\": " + std::to_string(found.took_gil.count) +
                  ", \"first_taken_before\": " +
                  (found.took_gil.count == 0
                       ? "null"
                       : std::to_string(
                             std::chrono::duration<double>(found.took_gil.since_first).count())) +
                  "}";
    }
    acting_place const& with_gil =
        found.what == lock_finding::kind::cycle
            ? found.cycle.edges.at(side_with_gil(found.cycle).value_or(0)).wanted
            : found.waits;
    return R"({"tool": "gilcheck", "finding": )" + json_string(kind_of(found)) +
           ", \"happens\": " + (found.happens ? "true" : "false") + ", \"threads\": [" + threads +
           "], \"what_to_do\": " + json_string(advice(found, frames_of(with_gil.stack))) + "}\n";
}

}  // namespace handoff::detail
