// violation: collects what is known at the moment of the call, and words it.
#include "violation.hpp"

#include "checked_calls.hpp"
#include "gil_events.hpp"
#include "handoff_pieces.hpp"
#include "json.hpp"
#include "python_stacks.hpp"
#include "report_log.hpp"
#include "stack_lines.hpp"
#include "stack_walk.hpp"
#include "thread_names.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace handoff::detail {

namespace {

[[gnu::tls_model("initial-exec")]] constinit thread_local bool ever_held = false;

// Set once, before the first report.
void* (*this_threads_state)() = nullptr;  // PyGILState_GetThisThreadState()
int (*is_finalizing)() = nullptr;
bool is_free_threaded = false;

/// The calls that led to a place, the innermost first.
struct calls_to {
    std::vector<void const*> calls;
    std::size_t left_out = 0;  // further out
};

/// The call of each frame: a return address is that of the next instruction.
[[gnu::noinline]] calls_to stack_from(void const* return_address) {
    std::array<void*, 100> found{};
    auto const walked = walk_stack(found);
    std::span<void* const> const frames = std::span(found).first(walked.taken);
    auto first = std::ranges::find(frames, return_address);
    if (first == frames.end()) {
        return {.calls = {static_cast<char const*>(return_address) - 1}, .left_out = 0};
    }
    calls_to all{.calls = {}, .left_out = walked.left_out};
    for (; first != frames.end(); ++first) {
        all.calls.push_back(static_cast<char const*>(*first) - 1);
    }
    return all;
}

std::string in_words(named_thread const& thread) { return thread_in_words(thread.id, thread.name); }

std::string json_of(call_frame const& frame) {
    return "{\"function\": " + json_string(frame.function) +
           ", \"source\": " + json_string(frame.source) + ", \"file\": " + json_string(frame.file) +
           ", \"offset\": " + std::to_string(frame.offset) + "}";
}

std::string json_of(std::vector<call_frame> const& frames) {
    std::string json = "[";
    for (auto const& each : frames) {
        json += (json.size() > 1 ? ", " : "") + json_of(each);
    }
    return json + "]";
}

std::string json_of(named_thread const& thread) {
    return "{\"id\": " + std::to_string(thread.id) +
           ", \"name\": " + json_string(own_name_of(thread.id, thread.name));
}

bool drops_a_reference(std::string_view function) {
    return function == "_Py_Dealloc" || function == "Py_DecRef" || function == "_Py_DecRef" ||
           // On a free-threaded build, of another thread's object, and of the thread's own.
           function == "_Py_DecRefShared" || function == "_Py_MergeZeroLocalRefcount";
}

bool releases_the_gil(std::string_view function) {
    return function == "PyEval_SaveThread" || function == "PyGILState_Release";
}

constexpr std::array because_names{"never_acquired", "released", "finalized"};

}  // namespace

violation violation::here(char const* function, void const* return_address, bool python_is_alive) {
    auto const id = static_cast<pid_t>(syscall(SYS_gettid));
    gil_holder const holder = holder_of_gil();
    violation found{.function = function,
                    .why = !python_is_alive || (is_finalizing != nullptr && is_finalizing() != 0)
                               ? because::finalized
                           : ever_held || last_release() != nullptr ? because::released
                                                                    : because::never_acquired,
                    .thread = {.id = id, .handle = pthread_self(), .name = system_name_of(id)},
                    .known_to_python = python_is_alive && this_threads_state() != nullptr,
                    .by_who_ended_python = ended_python_here(),
                    .holder = {},
                    .holders_python = {},
                    .stack = {},
                    .left_out = 0,
                    .released_at = {}};
    if (holder.id != 0 && found.why != because::finalized) {  // faulthandler ends before that
        found.holder = {.id = holder.id,
                        .handle = holder.thread,
                        .name = system_name_of(holder.id),
                        .ended = has_ended(holder.id)};
        found.holders_python = python_stack_of(holder.thread, python_stacks());
    }
    auto const [calls, left_out] = stack_from(return_address);
    found.stack = call_frames(calls);
    found.left_out = left_out;
    if (void const* const released_by = last_release();
        found.why == because::released && released_by != nullptr) {
        std::array<void const*, 1> const call{static_cast<char const*>(released_by) - 1};
        auto const frames = call_frames(call);
        auto const* const users = users_frame(frames);
        found.released_at = {users != nullptr ? *users : frames.front()};
    }
    return found;
}

std::string violation::advice() const {
    if (drops_a_reference(function) && why != because::finalized) {
        bool const of_shared_ptr = drops_shared_ptr_of_python(stack);
        return (why == because::released ? "This thread has released the GIL, and drops"
                                         : "This thread does not hold the GIL, and drops") +
               std::string(
                   " a reference to a Python object. A boost::python::object, a pybind11::object "
                   "or the like does so when it is destroyed: one that was captured by a lambda, "
                   "that is declared before the guard, or that is a member of another object. ") +
               (of_shared_ptr ? "Here it is a std::shared_ptr that Python passed: give its "
                                "class_<T> .def(handoff::drop_shared_ptr_anywhere()), or call "
                                "handoff::drop_shared_ptr_anywhere<T>() once, after it."
                              : "Destroy it inside the guard's scope: declare it after the guard, "
                                "or reset it there. Or keep it in a handoff::gil_owned, which any "
                                "thread may drop.");
    }
    if (releases_the_gil(function) && why != because::finalized) {
        return "This thread does not hold the GIL, and releases it" +
               (released_at.empty()
                    ? std::string(": ")
                    : ". It has released it before, in " + briefly(released_at[0]) + ": ") +
               (function == std::string_view("PyGILState_Release")
                    ? "each PyGILState_Ensure() wants one PyGILState_Release(), on the same thread "
                      "(a guard does so: handoff::gil_acquire, pybind11::gil_scoped_acquire)."
                    : "release it once. Remove the inner one: a call guard of the binding library, "
                      "or handoff::without_gil, releases it for the whole function. If it is not "
                      "known whether the caller holds the GIL, use handoff::gil_release, which "
                      "then "
                      "does nothing.");
    }
    std::string_view const piece = piece_that_calls(function, stack);
    std::string const by_piece =
        piece.empty() ? "" : " Or use " + std::string(piece) + ", which takes it where needed.";
    switch (why) {
        case because::never_acquired:
            return "This thread never acquired the GIL. Acquire it around what touches Python, for "
                   "as long as that takes (" +
                   guards_that_acquire(stack) + ")." + by_piece;
        case because::released:
            return "This thread has released the GIL" +
                   (released_at.empty() ? std::string() : ", in " + briefly(released_at[0]) + ",") +
                   " and not taken it back. Move the call out of that region, or acquire the GIL "
                   "again around it." +
                   by_piece;
        case because::finalized:
            if (by_who_ended_python) {
                return "This thread has ended Python, and calls it later: in the destructor of an "
                       "object with static storage, or in a function of C's atexit(). Drop the "
                       "object before, in a function of Python's atexit; or never: make it with "
                       "new, and do not delete it. Or keep it in a handoff::gil_owned, which knows "
                       "whether Python is running.";
            }
            return "Python is ending, or has ended, and this thread has not acquired the GIL. End "
                   "it before that: join it in an atexit function, or let it ask each time whether "
                   "it may still enter (handoff::gil_try_acquire; from Python 3.15 on "
                   "PyThreadState_Ensure()). And let it acquire the GIL for each call.";
    }
    return {};
}

std::string violation::where() const {
    if (call_frame const* const users = users_frame(stack)) {
        return ", by " + in_words(*users);
    }
    if (stack.empty()) {
        return {};
    }
    if (stack.front().whose == code_of::standard) {  // the standard library does not call Python
        return ", by a function that is not on its stack, because this call was its last "
               "action: compile your module with -fno-optimize-sibling-calls to see it";
    }
    return ", in " + stack.front().file +
           ", of which no function of its own is seen: " + cure_of_lines(stack.front().file);
}

finding_facts violation::facts() const {
    finding_facts known{.kind = "call_without_gil", .called = function};
    known.add_side(stack, 1);  // a place is reported once, for all threads
    return known;
}

std::string violation::text() const {
    bool const colours = shows_colours();
    char const* const bold_red = colours ? "\033[1;31m" : "";
    char const* const bold = colours ? "\033[1m" : "";
    char const* const plain = colours ? "\033[0m" : "";
    std::string told = std::string(bold_red) + "gilcheck: " + function +
                       "() was called without the GIL" + where() + plain + "\n";
    auto const line = [&](char const* head, std::string const& rest) {
        told.append("  ").append(bold).append(head).append(plain).append(rest).append("\n");
    };
    line("thread   ", in_words(thread) + (known_to_python ? ", which Python knows"
                                                          : ", which Python does not know"));
    line("holder   ", is_free_threaded ? "nobody: in a free-threaded Python to hold the GIL is to "
                                         "be attached, and this thread is not"
                      : holder.id == 0 ? std::string("nobody holds the GIL now")
                      : holder.ended
                          ? in_words(holder) + " took the GIL last, and ended without releasing it"
                          : in_words(holder) + " holds the GIL now");
    char const* label = "    Python: ";
    for (std::string const& each : python_lines(holders_python)) {
        told += std::exchange(label, "            ") + each + "\n";
    }
    line("C++", "");
    told += stack_lines(stack);
    if (left_out > 0) {
        told += "      " + more_frames(left_out) + "\n";
    }
    line("do       ", advice());
    return told;
}

std::string violation::json() const {
    call_frame const* const users = users_frame(stack);
    std::string told =
        R"({"tool": "gilcheck", "function": )" + json_string(function) +
        ", \"at\": " + (users != nullptr ? json_of(*users) : "null") +
        ", \"because\": " + json_string(because_names.at(static_cast<std::size_t>(why))) +
        ", \"thread\": " + json_of(thread) +
        ", \"known_to_python\": " + (known_to_python ? "true" : "false") + "}" + ", \"holder\": ";
    told += holder.id == 0 ? "null"
                           : json_of(holder) + ", \"ended\": " + (holder.ended ? "true" : "false") +
                                 ", \"python\": " + json_string(holders_python) + "}";
    return told + ", \"stack\": " + json_of(stack) + ", \"left_out\": " + std::to_string(left_out) +
           ", \"released_at\": " + json_of(released_at) +
           ", \"what_to_do\": " + json_string(advice()) + "}\n";
}

void prepare_violations(loaded_object const& interpreter) {
    auto const look_up = [&](auto& function, char const* name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(
            interpreter.find(name).address);
    };
    look_up(this_threads_state, "PyGILState_GetThisThreadState");
    look_up(is_finalizing, "Py_IsFinalizing");  // from 3.13 on
    if (is_finalizing == nullptr) {
        look_up(is_finalizing, "_Py_IsFinalizing");
    }
    is_free_threaded = interpreter.find("_Py_DecRefShared").address != nullptr;
    prepare_python_stacks(interpreter);
    std::array<void*, 1> first{};
    static_cast<void>(walk_stack(first));  // makes the loader load the unwinder now
}

void note_held() noexcept { ever_held = true; }

}  // namespace handoff::detail
