// written_stacks: one line after the other.
#include "written_stacks.hpp"

#include "diagnosis.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace {

/// Takes what is before the separator, or all, from the text.
std::string_view take(std::string_view& text, char separator) {
    std::string_view const taken = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(taken.size() + 1, text.size()));
    return taken;
}

template <class Number>
Number take_number(std::string_view& text) {
    std::string_view const digits = take(text, '\t');
    Number number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

bool take_flag(std::string_view& text) { return take(text, '\t') == "1"; }

thread_seen thread_from(std::string_view fields) {
    thread_seen thread;
    thread.id = take_number<pid_t>(fields);
    thread.is_main = take_flag(fields);
    thread.holds_gil = take_flag(fields);
    if (take_flag(fields)) {
        thread.waits.emplace(0);
    }
    thread.mutex_owner = take_number<pid_t>(fields);
    thread.name = fields;
    return thread;
}

crash crash_from(std::string_view fields) {
    crash died;
    died.thread = take_number<pid_t>(fields);
    if (auto const sender = take_number<pid_t>(fields); sender >= 0) {
        died.sender = sender;
    }
    died.signal = take(fields, '\t');
    died.address = fields;
    return died;
}

call_frame frame_from(std::string_view fields) {
    call_frame frame;
    frame.offset = take_number<std::uintptr_t>(fields);
    bool const beside_python = take_flag(fields);
    frame.file = take(fields, '\t');
    frame.source = take(fields, '\t');
    frame.function = fields;
    find_owner(frame, beside_python);
    return frame;
}

/// Whether both belong to one instruction: inlined functions come before the function itself.
bool is_same_place(call_frame const& one, call_frame const& other) {
    return one.file == other.file && one.offset == other.offset;
}

/// Looks up the user's callers again, because pystack looks up the return address. Behind a call
/// that does not return, such as abort(), this belongs to the next function, or to none.
void name_callers(std::vector<thread_seen>& threads) {
    std::vector<code_place> calls;
    std::vector<call_frame*> callers;
    for (thread_seen& thread : threads) {
        for (std::size_t each = 1; each < thread.frames.size(); ++each) {
            call_frame& frame = thread.frames[each];
            bool const is_inlined =
                each + 1 < thread.frames.size() && is_same_place(frame, thread.frames[each + 1]);
            if (frame.whose == code_of::user && !is_inlined &&
                !is_same_place(frame, thread.frames.front())) {
                calls.push_back({.file = frame.file, .offset = frame.offset - 1, .exported = {}});
                callers.push_back(&frame);
            }
        }
    }
    auto const found = call_frames_of_each(calls);
    for (std::size_t each = 0; each < found.size(); ++each) {
        call_frame const& caller = found[each].back();
        if (!caller.function.empty()) {
            callers[each]->function = caller.function;
            callers[each]->source = caller.source.empty() ? callers[each]->source : caller.source;
        }
    }
}

}  // namespace

std::string diagnosis_of_written(std::string_view stacks) {
    std::vector<thread_seen> threads;
    std::optional<crash> died;
    while (!stacks.empty()) {
        std::string_view fields = take(stacks, '\n');
        std::string_view const kind = take(fields, '\t');
        if (kind == "crash") {
            died = crash_from(fields);
        } else if (kind == "thread") {
            threads.push_back(thread_from(fields));
        } else if (kind == "frame" && !threads.empty()) {
            threads.back().frames.push_back(frame_from(fields));
        } else if (kind == "python" && !threads.empty()) {
            threads.back().python.append(fields).append("\n");
        }
    }
    name_callers(threads);
    return diagnosis(threads, {}, died ? &*died : nullptr);
}

}  // namespace handoff::detail
