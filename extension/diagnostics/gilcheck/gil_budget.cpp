// gil_budget: a thread that checks the current hold several times within the time that is allowed,
// and asks the holder whether it executes Python code.
#include "gil_budget.hpp"

#include "call_frames.hpp"
#include "finding_rules.hpp"
#include "gil_events.hpp"
#include "gil_statistics.hpp"
#include "handoff_pieces.hpp"
#include "json.hpp"
#include "python_stacks.hpp"
#include "sleeping_stack.hpp"
#include "stack_lines.hpp"
#include "standard_error.hpp"
#include "thread_names.hpp"
#include "thread_stacks.hpp"
#include "tick_clock.hpp"
#include "tool_thread.hpp"
#include "uninterrupted_wait.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <pthread.h>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace {

using duration = std::chrono::nanoseconds;

/// Up to 3.12 a call that another thread has added waits until something else interrupts the
/// evaluation loop. Source: COMPUTE_EVAL_BREAKER() in CPython's Python/ceval_gil.c.
constexpr unsigned long first_that_answers = 0x030D0000;

std::atomic<duration> allowed;
void (*prepare_python)() noexcept = nullptr;
std::atomic<bool> is_looking = false;
finding_reports reports;

bool holds_gil() noexcept { return handoff_gil_held; }

/// "5.2 ms".
std::string in_milliseconds(duration time) {
    std::array<char, 32> text{};
    double const milliseconds = std::chrono::duration<double, std::milli>(time).count();
    std::snprintf(text.data(), text.size(), milliseconds < 999.5 ? "%.3g ms" : "%.0f ms",
                  milliseconds);
    return text.data();
}

auto has_owner(code_of whose) {
    return [whose](call_frame const& each) { return each.whose == whose; };
}

bool is_of_python_alone(std::span<call_frame const> frames) {
    return std::ranges::any_of(frames, has_owner(code_of::python)) &&
           std::ranges::none_of(frames, has_owner(code_of::user)) &&
           std::ranges::none_of(frames, has_owner(code_of::binding));
}

bool starts_or_ends_python(call_frame const& each) {
    static constexpr std::array names = std::to_array<std::string_view>(
        {"Py_RunMain", "Py_Initialize", "Py_Finalize", "Py_NewInterpreter", "Py_EndInterpreter"});
    return each.whose == code_of::python && std::ranges::any_of(names, [&](std::string_view name) {
               return each.function.starts_with(name);
           });
}

struct long_hold {
    pid_t id = 0;
    std::string name;
    duration so_far{};
    duration allowed{};
    std::vector<call_frame> frames;  // as far as the Python function that called it
    std::vector<std::string> python;
    std::string waits_in;  // a system call that a question would end; else empty
    std::string unknown;  // why the stack of a computing holder is unknown; else empty

    /// Whether nobody else's code is on its stack.
    [[nodiscard]] bool is_pythons_own() const { return is_of_python_alone(frames); }

    /// Whether Python starts, ends, or imports a module, and runs nobody else's code for it: there
    /// is nothing that could release the GIL. What has called that, such as main(), may be
    /// anybody's.
    [[nodiscard]] bool is_of_start_import_or_end() const {
        auto const begin = std::ranges::find_if(frames, starts_or_ends_python);
        return is_of_python_alone({frames.begin(), begin == frames.end() ? begin : begin + 1}) &&
               (python.empty() || std::ranges::any_of(python, [](std::string const& line) {
                    return line.find("<frozen importlib") != std::string::npos;
                }));
    }

    [[nodiscard]] std::string where() const {
        if (call_frame const* const users = users_frame(frames)) {
            return in_words(*users) +
                   (users->source.empty() && !python.empty() ? called_by_python_line() + ',' : "");
        }
        if (!waits_in.empty()) {
            return "a wait in " + waits_in + "()" + called_by_python_line();
        }
        if (auto const call = find_call_without_caller(frames)) {
            return in_words(*call) + called_by_python_line();
        }
        auto const known =
            std::ranges::find_if_not(frames, &std::string::empty, &call_frame::function);
        std::string const inner = frames.empty()
                                      ? std::string("native code")
                                      : briefly(known == frames.end() ? frames.front() : *known);
        return (is_pythons_own() ? "Python's own code (" + inner + ')' : inner) +
               called_by_python_line();
    }

private:
    /// Without the folded lines of a test runner.
    [[nodiscard]] std::string called_by_python_line() const {
        auto const line = std::ranges::find_if_not(
            python, [](std::string const& each) { return each.starts_with("…"); });
        return line == python.end() ? "" : ", called by " + *line;
    }
};

std::string advice(long_hold const& hold) {
    if (users_frame(hold.frames) == nullptr && calls_by_pydll(hold.frames)) {
        return "Call it through ctypes.CDLL, which releases the GIL, in place of ctypes.PyDLL.";
    }
    if (hold.is_pythons_own() && hold.waits_in.empty()) {
        return "This is Python's own code, which keeps the GIL until it is done: give it less to "
               "do at a time, or have another process do it.";
    }
    std::string_view const piece = piece_that_releases(hold.frames);
    return "Release the GIL around work and waits that do not touch Python: " + std::string(piece) +
           (piece.empty() ? "" : "; or by hand: ") + guards_that_release(hold.frames) + ".";
}

std::string text_of(long_hold const& hold) {
    std::string text = "gilcheck: over budget: " + hold.where() + " has held the GIL for " +
                       in_milliseconds(hold.so_far) + " so far, and " +
                       in_milliseconds(hold.allowed) + " are allowed\n  thread   " +
                       thread_in_words(hold.id, hold.name) + "\n";
    char const* label = "  Python   ";
    for (std::string const& each : hold.python) {
        text += std::exchange(label, "           ") + each + '\n';
    }
    if (!hold.unknown.empty()) {
        text += "  C++      its stack is not known: " + hold.unknown + '\n';
    }
    return text + stack_lines(hold.frames) + "  do       " + advice(hold) + '\n';
}

std::string json_of(long_hold const& hold) {
    auto const list = [](auto const& items, auto const& text_of_one) {
        std::string all;
        for (auto const& each : items) {
            all += (all.empty() ? "" : ", ") + json_string(text_of_one(each));
        }
        return "[" + all + "]";
    };
    auto const seconds = [](duration time) {
        return std::to_string(std::chrono::duration<double>(time).count());
    };
    return R"({"tool": "gilcheck", "finding": "over_budget", "at": )" + json_string(hold.where()) +
           ", \"held\": " + seconds(hold.so_far) + ", \"budget\": " + seconds(hold.allowed) +
           ", \"thread\": " + std::to_string(hold.id) +
           ", \"python\": " + list(hold.python, [](std::string const& line) { return line; }) +
           ", \"stack\": " +
           list(hold.frames, [](call_frame const& frame) { return in_full(frame); }) +
           ", \"no_stack_because\": " +
           (hold.unknown.empty() ? "null" : json_string(hold.unknown)) +
           ", \"what_to_do\": " + json_string(advice(hold)) + "}\n";
}

/// Identified by its C++, or by the Python function if no C++ of the user's is on the stack.
finding_facts facts_of(long_hold const& hold) {
    finding_facts known{.kind = "over_budget"};
    known.add_side(hold.frames, 1);
    for (std::string_view const line : hold.python) {  // "f() at file.py:12"; "<module> at …"
        static constexpr std::string_view between = " at ";
        auto const end = std::min(line.find(between), line.size());
        std::string_view name = line.substr(0, end);
        name.remove_suffix(name.ends_with("()") ? 2 : 0);
        std::string_view const place = line.substr(std::min(end + between.size(), line.size()));
        known.shown.push_back({.name = std::string(name),
                               .module = std::string(place.substr(0, place.rfind(':'))),
                               .source = {}});
        if (known.sides.empty()) {
            known.sides.push_back({known.shown.back()});
        }
    }
    return known;
}

/// begun: when it began to run native code, in nanoseconds; or the hold, if no more is known.
/// known: the signatures of what was reported. A function is reported once, wherever the thread was
/// in it.
void look(stack_signal const& asking, current_hold const& now, std::uint64_t begun,
          std::set<std::string>& known) {
    thread_stack const answer = asking.ask_thread(now.thread, [](pid_t) { return true; });
    std::uint64_t const at = nanoseconds();
    bool const is_known =
        answer.silent.empty() ? answer.holds_gil : answer.spared.has_value() || answer.blocks;
    if (hold_of_now().number != now.number || !is_known) {
        return;
    }
    long_hold hold{.id = now.thread,
                   .name = answer.name,
                   .so_far = std::chrono::nanoseconds(at - begun),
                   .allowed = allowed,
                   .frames = {},
                   .python = {},
                   .waits_in = {},
                   .unknown = answer.blocks ? answer.silent : std::string()};
    if (answer.spared) {
        hold.waits_in = answer.spared->name;
    }
    std::string const stacks = python_stacks();
    if (auto const handle = python_thread(now.thread, stacks)) {
        hold.python = python_lines(python_stack_of(*handle, stacks));
    }
    std::vector<void*> const found = answer.spared ? sleeping_stack(now.thread) : answer.frames;
    if (hold_of_now().number != now.number) {
        return;  // it woke meanwhile
    }
    if (answer.spared && found.empty()) {
        hold.unknown = answer.silent;
    }
    std::vector<void const*> instructions;
    instructions.reserve(found.size());
    for (void* const frame : found) {
        instructions.push_back(static_cast<char const*>(frame) - (instructions.empty() ? 0 : 1));
    }
    auto const frames = call_frames(instructions);
    auto const of_interest = called_by_python(frames);
    hold.frames.assign(of_interest.begin(), of_interest.end());
    if ((answer.silent.empty() && hold.frames.empty()) ||
        std::ranges::any_of(hold.frames, has_owner(code_of::tool))) {
        return;  // it was in the evaluation loop by then, or in a tool, as a library was loaded
    }
    if (answer.blocks && hold_of_now().number != now.number) {
        hold.python.clear();  // it was elsewhere by the time that the Python lines were read
    }
    if (hold.is_of_start_import_or_end()) {
        return;
    }
    if (known.insert(facts_of(hold).signature()).second && reports.begin()) {
        reports.end([&hold] { return facts_of(hold); },
                    [&hold] { return reports.json ? json_of(hold) : text_of(hold); });
    }
}

/// Source: the kernel's MAKE_THREAD_CPUCLOCK(), as pthread_getcpuclockid() makes it.
duration processor_time_of(pid_t thread) noexcept {
    auto const clock = static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3U) | 6U);
    timespec used{};
    clock_gettime(clock, &used);
    return std::chrono::seconds(used.tv_sec) + duration(used.tv_nsec);
}

bool sleeps(pid_t thread) {
    char const state = state_of(thread);
    return state != 0 && state != 'R';
}

/// Distinguishes a call that does not return from Python code that holds the GIL for long because
/// no thread wants it: the evaluation loop answers a question, and native code does not. A thread
/// that the kernel does not run cannot answer, and gets time.
class question {
public:
    /// Asks the main thread, by a call that its evaluation loop has to make.
    void ask(current_hold const& hold) noexcept {
        if (add_pending_call != nullptr && hold.thread == getpid() && !is_asked.exchange(true)) {
            if (add_pending_call(&answer, nullptr) != 0) {
                is_asked = false;  // there is no room; next time
            }
            ours_.begin(hold);  // only now, because this thread may be suspended in between
        }
        if (hold.asked != 0 && waiters_.number != hold.number) {
            waiters_.begin(hold);
        }
    }
    /// When it last ran Python code, as far as is known: when it answered, or the hold began.
    [[nodiscard]] static std::uint64_t last_answer_in(current_hold const& hold) {
        return hold.thread == getpid() ? std::max(hold.since, answered.load()) : hold.since;
    }
    /// Whether the holder does not answer this thread, or a thread that waits for the GIL.
    [[nodiscard]] bool is_unanswered(current_hold const& hold) const {
        return (is_asked && ours_.is_over(hold)) || (hold.asked != 0 && waiters_.is_over(hold));
    }

    static int (*add_pending_call)(int (*)(void*), void*);  // null: no thread would answer

private:
    struct asked {
        std::uint64_t number = 0;  // the hold
        duration used{};           // the holder's processor time until it was asked

        void begin(current_hold const& hold) noexcept {
            number = hold.number;
            used = processor_time_of(hold.thread);
        }
        [[nodiscard]] bool is_over(current_hold const& hold) const {
            return number == hold.number &&
                   (processor_time_of(hold.thread) - used >= allowed.load() / 4 ||
                    sleeps(hold.thread));
        }
    };

    static int answer(void* /*unused*/) {
        answered = nanoseconds();
        is_asked = false;
        return 0;
    }

    static inline std::atomic<bool> is_asked = false;
    static inline std::atomic<std::uint64_t> answered = 0;  // when
    asked ours_;
    asked waiters_;
};
int (*question::add_pending_call)(int (*)(void*), void*) = nullptr;

void* watch(void* /*unused*/) {
    try {
        stack_signal const asking(&holds_gil);
        question to_holder;
        std::set<std::string> known;  // not static: this thread runs on while those are destroyed
        std::uint64_t looked_at = 0;
        for (;;) {
            duration const budget = allowed;
            duration const pause = std::clamp<duration>(budget / 4, std::chrono::microseconds(100),
                                                        std::chrono::seconds(1));
            timespec const rest{.tv_sec = pause.count() / 1'000'000'000,
                                .tv_nsec = pause.count() % 1'000'000'000};
            clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, nullptr);
            current_hold const now = hold_of_now();
            prepare_python();
            std::uint64_t const begun = question::last_answer_in(now);
            duration const lasts(now.number == 0 ? 0 : nanoseconds() - begun);
            if (lasts < budget / 2 || now.number == looked_at) {
                continue;
            }
            to_holder.ask(now);
            if (lasts > budget && to_holder.is_unanswered(now)) {
                looked_at = now.number;
                is_looking = true;
                look(asking, now, begun, known);
                is_looking = false;
            }
        }
    } catch (std::exception const& failure) {
        write_stderr(std::string("gilcheck: does not watch the budget: ") + failure.what() + "\n");
    }
    return nullptr;
}

bool begin_thread() noexcept { return begin_lasting_tool_thread(&watch, "gilcheck"); }

}  // namespace

void set_gil_budget(running_python const& python, std::chrono::nanoseconds budget,
                    finding_reports const& wanted, void (*prepare)() noexcept) {
    bool const is_wanted = budget.count() > 0;
    allowed = is_wanted ? budget : duration::max();
    static bool is_watching = false;
    if (is_watching || !is_wanted) {
        return;
    }
    is_watching = true;
    if (python.version >= first_that_answers) {
        python.look_up(question::add_pending_call, "Py_AddPendingCall");
    }
    prepare_python = prepare;
    reports = wanted;
    if (!begin_thread()) {
        throw std::runtime_error("gilcheck: no thread can be started to watch the budget");
    }
    pthread_atfork(nullptr, nullptr, [] {
        is_looking = false;
        begin_thread();
    });
}

void finish_looking() noexcept {
    constexpr timespec moment{.tv_sec = 0, .tv_nsec = 1'000'000};
    for (int waited = 0; is_looking && waited < 5000; ++waited) {
        nanosleep(&moment, nullptr);
    }
}

}  // namespace handoff::detail
