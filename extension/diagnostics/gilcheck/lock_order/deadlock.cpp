// deadlock: names the user's functions on each side, and what to do, by the pattern that it is.
#include "deadlock.hpp"

#include "call_frames.hpp"
#include "current_function.hpp"
#include "json.hpp"
#include "report_log.hpp"
#include "reported_once.hpp"
#include "stack_lines.hpp"
#include "thread_names.hpp"
#include <handoff/gil/detail/stack.hpp>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace {

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
    return std::to_string(thread.id) + (name.empty() ? "" : " '" + name + "'");
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
        case lock_kind::none:
            break;
    }
    return "a lock that is no more";
}

/// "sinks_lock"; empty where it has no name of its own.
std::string name_of(lock_seen const& lock) {
    if (lock.kind == lock_kind::gil || lock.object == nullptr) {
        return {};
    }
    static auto& names = *new symbols();
    std::string name = names.find(lock.object).function;
    static constexpr std::string_view of_guard = "guard variable for ";
    if (name.starts_with(of_guard)) {
        name.erase(0, of_guard.size());
    }
    return name;
}

/// "the mutex sinks_lock", or its address where it has no name of its own.
std::string in_words(lock_seen const& lock) {
    std::string words(kind_in_words(lock.kind));
    if (lock.kind == lock_kind::gil || lock.object == nullptr) {
        return words;
    }
    std::string const name = name_of(lock);
    std::array<char, 32> address{};
    std::snprintf(address.data(), address.size(), "%#" PRIxPTR,
                  reinterpret_cast<std::uintptr_t>(lock.object));
    return words + ' ' + (name.empty() ? std::string(address.data()) : name);
}

/// Where the user's code is on a stack: "log() at log.cpp:12"; or the Python function; or nothing.
struct described_place {
    std::vector<call_frame> frames;
    std::string users;   // in words
    std::string python;  // "f (file.py:12)"
};

described_place described(acting_place const& place) {
    described_place told{.frames = frames_of(place.stack), .users = {}, .python = {}};
    if (std::string_view const python = place.python.data(); !python.empty()) {
        told.python = place_in_words(python);
    }
    std::span<call_frame const> const of_interest = called_by_python(told.frames);
    if (call_frame const* const users = users_frame(of_interest)) {
        told.users = in_words(*users);
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

std::string takes(lock_edge const& edge, lock_seen const& wanted) {
    if (wanted.kind == lock_kind::gil) {
        return edge.predicted ? "calls Python, which may let go of the GIL and take it again"
                              : "takes the GIL";
    }
    return (wanted.kind == lock_kind::static_guard || wanted.kind == lock_kind::once_flag
                ? "waits for "
                : "locks ") +
           in_words(wanted);
}

std::string_view advice(lock_finding const& found) {
    if (found.what != lock_finding::kind::cycle) {
        return "Release the GIL before you wait for a thread that takes it: handoff::gil_release "
               "while_waiting; or, for a function that Boost.Python binds, "
               "handoff::without_gil(&f); pybind11::call_guard<pybind11::gil_scoped_release>() "
               "and nanobind's; or Py_BEGIN_ALLOW_THREADS.";
    }
    bool of_gil = false;
    bool of_static = false;
    for (std::size_t each = 0; each < found.cycle.count; ++each) {
        lock_kind const kind = found.cycle.locks.at(each).kind;
        of_gil = of_gil || kind == lock_kind::gil;
        of_static = of_static || kind == lock_kind::static_guard || kind == lock_kind::once_flag;
    }
    if (of_gil && of_static) {
        return "Run no Python code where something is initialised once: it lets go of the GIL, and "
               "a second thread then waits for the initialisation with the GIL held. Initialise "
               "it when the module is imported; or release the GIL around the whole, and acquire "
               "it within the initialiser.";
    }
    if (of_gil) {
        return "Release the GIL before you wait for the lock (handoff::gil_release, "
               "pybind11::gil_scoped_release, Py_BEGIN_ALLOW_THREADS), or do not touch Python "
               "while you hold it: copy under the lock what the call needs, unlock, and call "
               "then. A handoff::mutex asserts this in a debug build.";
    }
    return "Take these locks in the same order everywhere, or all at once: std::scoped_lock "
           "both(a, "
           "b) never deadlocks.";
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
    void stack(std::vector<call_frame> const& frames) {
        text += stack_lines(called_by_python(frames));
    }
};

std::uint64_t hash_of(whole_stack const& stack) noexcept {
    std::uint64_t hash = 0;
    std::uint32_t used = 0;
    for (std::uint32_t each = 0; each < stack.count && used < 3; ++each) {
        void const* const address = stack.addresses.at(each);
        if (!is_of_interpreter(address)) {
            hash = (hash ^ reinterpret_cast<std::uintptr_t>(address)) * 0x9E3779B97F4A7C15U;
            ++used;
        }
    }
    return hash;
}

}  // namespace

bool is_new_finding(lock_finding const& found) noexcept {
    static constinit reported_once<1024> known;
    std::uint64_t hash = static_cast<std::uint64_t>(found.what) + 1;
    for (std::size_t each = 0; each < found.cycle.count; ++each) {
        hash += hash_of(found.cycle.edges.at(each).wanted.stack);
    }
    hash += hash_of(found.waits.stack);
    return known.is_first(hash | 1U);  // 0 is none
}

std::string text_of(lock_finding const& found) {
    writer told;
    if (found.what != lock_finding::kind::cycle) {
        described_place const waits = described(found.waits);
        described_place const other = described(found.other);
        auto const takes_gil = frames_of(found.takes_gil);
        bool const joins = found.what == lock_finding::kind::joins_with_gil;
        told.head(std::string("gilcheck: ") +
                  (found.happens ? "deadlock: " : "possible deadlock: ") + waits.users +
                  (joins ? " joins a thread" : " waits") + " with the GIL held, and " +
                  (joins ? "that thread" : "the thread that wakes it") +
                  (found.happens ? " waits for the GIL" : " takes the GIL"));
        told.line("waits    ", "thread " + name_of(found.waits.thread) +
                                   (waits.python.empty() ? "" : ", in " + waits.python));
        told.stack(waits.frames);
        told.line(joins ? "joined   " : "wakes    ",
                  "thread " + name_of(found.other.thread) +
                      (other.python.empty() ? "" : ", in " + other.python));
        told.stack(other.frames);
        if (!takes_gil.empty()) {
            told.line("took the GIL first at", "");
            told.stack(takes_gil);
        }
        told.line("do       ", std::string(advice(found)));
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
                   places.back().users + ' ' + takes(edge, wanted) + " with " +
                   (cycle.locks.at(each).kind == lock_kind::gil
                        ? "the GIL held"
                        : in_words(cycle.locks.at(each)) + " held");
    }
    told.head("gilcheck: possible deadlock: " + summary);
    for (std::size_t each = 0; each < cycle.count; ++each) {
        lock_edge const& edge = cycle.edges.at(each);
        told.line(std::to_string(each + 1) + "        ",
                  "thread " + name_of(edge.wanted.thread) + " holds " +
                      in_words(cycle.locks.at(each)) + since(edge.held_since) + ", and " +
                      takes(edge, cycle.locks.at((each + 1) % cycle.count)) +
                      (places[each].python.empty() ? "" : ", in Python's " + places[each].python));
        told.stack(places[each].frames);
    }
    told.line("do       ", std::string(advice(found)));
    return told.text;
}

namespace {

std::string_view kind_of(lock_finding const& found) {
    static constexpr std::array names{"lock_order", "wait_with_gil", "join_with_gil"};
    return names.at(static_cast<std::size_t>(found.what));
}

/// A side by its C++, or by the Python function where no C++ of the user's is on the stack.
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
           ", \"stack\": [" + frames + "]";
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
        known.add_shown(frames_of(found.takes_gil));
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
            other.stack = found.takes_gil;
        }
        threads = R"({"holds": "the GIL", )" + json_of_place(found.waits) +
                  R"(}, {"wants": "the GIL", )" + json_of_place(other) + "}";
    }
    return R"({"tool": "gilcheck", "finding": )" + json_string(kind_of(found)) +
           ", \"happens\": " + (found.happens ? "true" : "false") + ", \"threads\": [" + threads +
           "], \"what_to_do\": " + json_string(advice(found)) + "}\n";
}

}  // namespace handoff::detail
