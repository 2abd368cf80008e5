// written_stacks: one line after the other.
#include "written_stacks.hpp"

#include "diagnosis.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
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
    thread.name = fields;
    return thread;
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

}  // namespace

std::string diagnosis_of_written(std::string_view stacks) {
    std::vector<thread_seen> threads;
    while (!stacks.empty()) {
        std::string_view fields = take(stacks, '\n');
        std::string_view const kind = take(fields, '\t');
        if (kind == "thread") {
            threads.push_back(thread_from(fields));
        } else if (kind == "frame" && !threads.empty()) {
            threads.back().frames.push_back(frame_from(fields));
        } else if (kind == "python" && !threads.empty()) {
            threads.back().python.append(fields).append("\n");
        }
    }
    using std::chrono::duration;
    return diagnosis(threads, duration<double>(0), duration<double>(0));
}

}  // namespace handoff::detail
