// native_code: in which of the user's functions a thread was that held the GIL for long.
#include "gil_recording.hpp"
#include "stacks_seen.hpp"
#include "timeline.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <span>
#include <sstream>
#include <string_view>
#include <tuple>
#include <utility>

namespace handoff::detail {

namespace {

/// A stack in words.
struct stack_in_words {
    std::string function;  // the user's innermost, or its place; empty: there is none
    std::string name;      // the same as it is shown, with the line
    std::string hint;      // how to get a better name
    std::string text;      // the frames, a line each
};

/// "f() in f.so (lines unknown: compile it with -g)": the name, and the whole text if
/// something is missing.
std::pair<std::string, std::string> parted(std::string const& words) {
    for (auto const* const missing : {" (lines unknown: ", " (no symbols: "}) {
        if (auto const end = words.find(missing); end != std::string::npos) {
            return {words.substr(0, end), words};
        }
    }
    return {words, {}};
}

void without(std::string& text, std::string_view part) {
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at)) {
        text.erase(at, part.size());
    }
}

/// begins: of each frame, where its function begins; 0: unknown.
stack_in_words stack_of(std::vector<call_frame> const& all,
                        std::vector<std::uintptr_t> const& begins) {
    auto const frames = called_by_python(all);
    stack_in_words told;
    for (call_frame const& each : frames) {
        told.text += in_full(each) + "\n";
    }
    if (call_frame const* const found = users_frame(frames)) {
        call_frame users = *found;
        // Without a symbol it still counts as one function, wherever in it the thread was.
        auto const begin = begins.at(static_cast<std::size_t>(found - frames.data()));
        users.offset = users.function.empty() && begin != 0 ? begin : users.offset;
        without(users.function, "(anonymous namespace)::");
        std::tie(told.name, told.hint) = parted(in_words(users));
        told.function = users.function.empty() ? told.name : users.function;
    }
    return told;
}

/// By their numbers.
std::map<std::uint32_t, stack_in_words> stacks_of(stacks_seen const& seen) {
    std::vector<code_place> places;
    std::map<std::uint32_t, std::size_t> index;
    for (auto const& [number, place] : seen.places) {
        index[number] = places.size();
        places.push_back(place);
    }
    auto const of_each = call_frames_of_each(places);
    std::map<std::uint32_t, stack_in_words> told;
    for (auto const& [number, text] : seen.stacks) {
        if (text.starts_with('?')) {
            told[number].hint = "its stack is not known: " + text.substr(1);
            continue;
        }
        std::vector<call_frame> frames;
        std::vector<std::uintptr_t> begins;
        std::istringstream numbers(text);
        for (std::uint32_t each = 0; numbers >> each;) {
            if (auto const known = index.find(each); known != index.end()) {
                auto const& its = of_each[known->second];
                frames.insert(frames.end(), its.begin(), its.end());
                begins.resize(frames.size(), places[known->second].function);
            }
        }
        told[number] = stack_of(frames, begins);
    }
    return told;
}

/// From "f (x.py:12)" to "f (defined at x.py:12)": the line of the call is not known.
std::string by_definition(std::string const& function) {
    auto const place = function.rfind(" (");
    auto const line = function.find_last_of("0123456789");
    if (place == std::string::npos || line + 2 != function.size()) {
        return function;
    }
    return function.substr(0, place) + " (defined at " + function.substr(place + 2);
}

/// A stack whose function most of the stacks have. Null: at most half of them are in the user's
/// native code, or they are not known.
stack_in_words const* most_common(std::vector<stack_in_words const*> const& stacks) {
    auto const count = [&](stack_in_words const* like) {
        return std::ranges::count(stacks, like->function, &stack_in_words::function);
    };
    auto const known = std::ranges::count_if(
        stacks, [](stack_in_words const* each) { return !each->text.empty(); });
    for (stack_in_words const* const each : stacks) {
        if (!each->function.empty() && 2 * count(each) > known) {
            return each;
        }
    }
    return nullptr;
}

/// Of each function the stack at whose line its holds took longest: it names them all, or one
/// function would be several, each of which holds the GIL for less.
/// of_holds: the most common stack of each; null: none.
std::map<std::string, stack_in_words const*> names_of(
    std::map<timeline::hold*, stack_in_words const*> const& of_holds) {
    std::map<std::string, std::map<std::string, std::uint64_t>> held;
    std::map<std::string, stack_in_words const*> longest;
    for (auto const& [hold, stack] : of_holds) {
        if (stack != nullptr) {
            auto& of_lines = held[stack->function];
            of_lines[stack->name] += hold->end - hold->begin;
            auto& best = longest.try_emplace(stack->function, stack).first->second;
            best = of_lines[stack->name] > of_lines[best->name] ? stack : best;
        }
    }
    return longest;
}

}  // namespace

void timeline::name_native_code(stacks_seen const& seen) {
    auto const hold_at = [this](std::uint64_t when) -> hold* {
        auto const after = std::ranges::upper_bound(
            all_holds_, when, {}, [](holding const& held) { return held.what->begin; });
        hold* const held = after == all_holds_.begin() ? nullptr : std::prev(after)->what;
        return held != nullptr && held->end >= when ? held : nullptr;
    };
    for (auto const& each : seen.ends) {
        hold const* const held = hold_at(each.when);
        auto const line = seen.lines.find(each.line);
        if (held != nullptr && line != seen.lines.end()) {
            ends_[held] = line->second;
        }
    }
    if (seen.sightings.empty()) {
        return;
    }
    auto const words = stacks_of(seen);
    std::map<hold*, std::vector<stack_in_words const*>> of_holds;
    for (auto const& each : seen.sightings) {
        hold* const held = hold_at(each.when);
        auto const stack = words.find(each.stack);
        if (held != nullptr && stack != words.end()) {
            of_holds[held].push_back(&stack->second);
        }
    }
    std::map<hold*, stack_in_words const*> common;
    for (auto const& [held, stacks] : of_holds) {
        common[held] = most_common(stacks);
    }
    auto const names = names_of(common);
    std::map<std::string, std::uint32_t> known;
    for (auto const& [held, stacks] : of_holds) {
        activity const before = activities.at(held->activity);
        stack_in_words const* stack = common.at(held);
        bool const is_explained = before.what != activity::kind::native || stacks[0]->hint.empty();
        if (before.what == activity::kind::label || (stack == nullptr && is_explained)) {
            continue;
        }
        activity now{.name = before.name, .what = activity::kind::native};
        if (stack == nullptr) {
            now.hint = stacks[0]->hint;
        } else {
            stack = names.at(stack->function);
            now.name = stack->name;
            now.hint = stack->hint;
            now.stack = stack->text;
            if (before.what == activity::kind::function) {
                std::string const* const caller = end_of(*held);
                now.name +=
                    ", called by " + (caller == nullptr ? by_definition(before.name) : *caller);
            } else if (held->end == end && !was_ended && !goes_on) {
                now.name += ", in a hold that did not end";
            }
        }
        auto const [place, is_new] =
            known.try_emplace(now.name + now.hint, static_cast<std::uint32_t>(activities.size()));
        if (is_new) {
            activities.push_back(std::move(now));
        }
        held->activity = place->second;
    }
}

}  // namespace handoff::detail
