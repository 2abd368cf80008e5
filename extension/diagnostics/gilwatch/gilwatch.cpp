// gilwatch: records which threads wait and hold the GIL; a thread of its own checks both.
//
// Without a GIL it records which threads wait for others to detach; then the attached ones are the
// holders.
#include "attach_waits.hpp"
#include "call_frames.hpp"
#include "called_function.hpp"
#include "diagnosis.hpp"
#include "gil_events.hpp"
#include "monotonic_time.hpp"
#include "mutex_owners.hpp"
#include "one_at_a_time.hpp"
#include "python_stacks.hpp"
#include "request_signal.hpp"
#include "running_python.hpp"
#include "sleeping_stack.hpp"
#include "standard_error.hpp"
#include "thread_names.hpp"
#include "thread_stacks.hpp"
#include "tool_thread.hpp"
#include <handoff/gilwatch.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <mutex>
#include <semaphore.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace handoff::gilwatch {

using namespace detail;

namespace {

using clock = std::chrono::steady_clock;

/// A wait for the GIL, or for other threads to detach. Written by the thread that waits.
struct wait {
    std::atomic<pid_t> thread = 0;  // 0: none; -1: it is being written
    std::atomic<clock::rep> since = 0;
    std::atomic<clock::rep> paused = 0;  // it may go on, if it does so soon; 0: it goes on
    std::atomic<bool> stops_the_others = false;
    std::atomic<clock::rep> held_long_before = 0;  // see held_long_until()

    [[nodiscard]] bool may_go_on(clock::rep now) const noexcept {
        static constexpr clock::duration soon = std::chrono::milliseconds(200);
        clock::rep const at = paused.load(std::memory_order_relaxed);
        return at == 0 || now - at < soon.count();
    }
};

constinit std::array<wait, 1024> waits{};  // more threads than these are not counted
[[gnu::tls_model("initial-exec")]] constinit thread_local wait* own_wait = nullptr;
std::atomic<clock::rep> held_since = 0;  // 0: no thread holds it
std::atomic<clock::rep> last_take = 0;
std::atomic<clock::rep> held_long = 0;  // the sum of all times between two takes that were long

std::atomic<double> patience = 0;  // seconds; 0: it does not watch
std::atomic<bool> is_running = false;  // the watching thread
std::atomic<bool> pausing = false;     // the watching thread must end, for a fork()
std::atomic<unsigned> pauses = 0;
std::atomic<bool> report_wanted = false;  // by a signal
std::atomic<unsigned> calls = 0;          // of report()
std::atomic<unsigned> answered = 0;       // calls whose report is written
std::atomic<bool> is_writing = false;
std::atomic<running_python const*> python = nullptr;
sem_t wake_up;  // posted also by a signal's handler

clock::rep now_in_ticks() noexcept { return clock::now().time_since_epoch().count(); }

/// How long the GIL has been held for long at a time, including now. A thread that computes in
/// Python releases it after a switch interval, which is 5 ms.
clock::rep held_long_until(clock::rep now) noexcept {
    return held_long.load(std::memory_order_relaxed) + now -
           last_take.load(std::memory_order_relaxed);
}

/// Guards the thread's life.
constinit std::mutex life;
constinit pthread_t watching{};
constinit bool is_joinable = false;

void run_watch(std::unique_lock<std::mutex> const& held);

void end_wait() noexcept {
    if (wait* const own = std::exchange(own_wait, nullptr)) {
        own->thread.store(0, std::memory_order_release);
    }
}

/// Starts the thread if it does not run; in a child of fork() the parent's thread does not exist.
void be_watched() noexcept {
    if (patience.load(std::memory_order_relaxed) > 0 &&
        !is_running.load(std::memory_order_relaxed)) {
        run_watch({life, std::try_to_lock});  // CPython's lock of the GIL is held
    }
}

void begin_wait(bool stops_the_others) noexcept {
    static constinit std::atomic<std::size_t> next = 0;
    be_watched();
    for (std::size_t tried = 0; tried < waits.size(); ++tried) {
        wait& each = waits[next++ % waits.size()];
        pid_t none = 0;
        if (each.thread.compare_exchange_strong(none, -1, std::memory_order_acquire)) {
            clock::rep const now = now_in_ticks();
            each.since.store(now, std::memory_order_relaxed);
            each.paused.store(0, std::memory_order_relaxed);
            each.stops_the_others.store(stops_the_others, std::memory_order_relaxed);
            each.held_long_before.store(held_long_until(now), std::memory_order_relaxed);
            each.thread.store(own_thread_id(), std::memory_order_release);
            own_wait = &each;
            return;
        }
    }
}

void on_wait() noexcept { begin_wait(false); }

void on_take() noexcept {
    static constexpr clock::duration long_hold = std::chrono::milliseconds(100);
    end_wait();
    clock::rep const now = now_in_ticks();
    clock::rep const before = now - last_take.load(std::memory_order_relaxed);
    if (before >= long_hold.count()) {  // if no thread held it meanwhile, none waited either
        held_long.store(held_long.load(std::memory_order_relaxed) + before,
                        std::memory_order_relaxed);
    }
    last_take.store(now, std::memory_order_relaxed);
    held_since.store(now, std::memory_order_relaxed);
    be_watched();
}

void on_drop() noexcept { held_since.store(0, std::memory_order_relaxed); }

/// Continues the thread's last wait if it has just ended without the GIL, or by a signal.
void on_attach_wait(attach_wait what) noexcept {
    if (own_wait != nullptr && own_wait->may_go_on(now_in_ticks())) {
        own_wait->paused.store(0, std::memory_order_relaxed);
        return;
    }
    end_wait();
    begin_wait(what == attach_wait::until_the_others_detach);
}

void on_attach_wait_over(attach_wait /*what*/, bool in_vain) noexcept {
    if (!in_vain) {
        end_wait();
    } else if (own_wait != nullptr) {
        own_wait->paused.store(now_in_ticks(), std::memory_order_relaxed);
    }
}

constinit attach_listener const attach_events{.waits = &on_attach_wait,
                                              .has_waited = &on_attach_wait_over};

constinit gil_listener const listener{.waits = &on_wait, .takes = &on_take, .drops = &on_drop};

bool holds_gil() noexcept { return handoff_gil_held; }

struct seen_wait {
    pid_t thread;
    clock::time_point since;
    bool stops_the_others;
    clock::rep held_long_before;
};

std::vector<seen_wait> waits_now() {
    std::vector<seen_wait> seen;
    for (wait& each : waits) {
        pid_t thread = each.thread.load(std::memory_order_acquire);
        clock::time_point const since{clock::duration{each.since.load(std::memory_order_relaxed)}};
        clock::rep const held_long_before = each.held_long_before.load(std::memory_order_relaxed);
        if (thread <= 0) {
            continue;
        }
        if (has_ended(thread)) {
            each.thread.compare_exchange_strong(thread, 0);
        } else if (each.may_go_on(now_in_ticks())) {
            seen.push_back(
                {.thread = thread,
                 .since = since,
                 .stops_the_others = each.stops_the_others.load(std::memory_order_relaxed),
                 .held_long_before = held_long_before});
        }
    }
    return seen;
}

/// The system's view of a thread: whether it sleeps, and for how long it has run.
struct thread_status {
    bool sleeps = false;
    std::string ran;  // user and system time
    bool operator==(thread_status const&) const = default;
};

/// Source: proc(5), /proc/[pid]/stat: the state is field 3, the times are 14 and 15.
thread_status status_of(pid_t thread) {
    std::string text;
    std::getline(std::ifstream("/proc/self/task/" + std::to_string(thread) + "/stat"), text);
    std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
    thread_status status;
    std::string field;
    for (int number = 3; fields >> field && number <= 15; ++number) {
        if (number == 3) {
            status.sleeps = field == "S" || field == "D";
        } else if (number >= 14) {
            status.ran += field + " ";
        }
    }
    return status;
}

/// Whether threads are attached at the same time. A free-threaded Python's GIL may be switched on.
bool is_free_threaded() noexcept {
    running_python const* const watched = python;
    return watched != nullptr && watched->is_free_threaded &&
           last_take.load(std::memory_order_relaxed) == 0;
}

/// The threads that hold the GIL now: one or none. Without a GIL: those that are attached, except
/// those that wait for others to detach.
class holders {
public:
    explicit holders(std::vector<seen_wait> const& waiting) {
        if (!is_free_threaded()) {
            ids_ = {holder_of_gil().id};
            return;
        }
        ids_ = attached_threads();
        std::erase_if(ids_, [&](pid_t each) {
            return std::ranges::find(waiting, each, &seen_wait::thread) != waiting.end();
        });
    }

    [[nodiscard]] bool has(pid_t thread) const {
        return is_free_threaded() ? std::ranges::find(ids_, thread) != ids_.end()
                                  : thread == holder_of_gil().id;
    }

    /// As seen when this was made.
    [[nodiscard]] std::vector<pid_t> const& ids() const noexcept { return ids_; }

private:
    std::vector<pid_t> ids_;
};

/// The holder's wait is the fault, so it is interrupted if nothing else says where the holder is.
void look_at_sleeping_holder(stack_signal const& asking, holders const& held,
                             thread_stack& holder) {
    holder.frames = sleeping_stack(holder.id);
    if (holder.frames.empty()) {
        holder = asking.ask_thread(holder.id, [](pid_t) { return false; });
        return;
    }
    holder.silent.clear();
    holder.spared.reset();
    holder.handle = is_free_threaded() ? pthread_t{} : holder_of_gil().thread;
    holder.holds_gil = held.has(holder.id);
}

/// Names a function of the system's that the call before a return address has led to.
void name_by_call(call_frame& called, void const* return_address) {
    if (called.function.empty() && called.whose == code_of::standard) {
        called.function = called_by(return_address);
    }
}

/// Each thread's stack, and whether it holds the GIL or waits for it; to compare two reports.
using stacks_seen = std::map<pid_t, std::string>;

/// All threads except the caller and other tools'; the length of their waits is counted up to
/// `now`.
std::vector<thread_seen> look_at_threads(stack_signal const& asking,
                                         std::vector<seen_wait> const& waiting,
                                         clock::time_point now, std::string const& stacks,
                                         stacks_seen& seen_stacks) {
    holders const held(waiting);
    std::vector<pid_t> known{getpid()};
    std::ranges::copy(held.ids(), std::back_inserter(known));
    std::ranges::transform(waiting, std::back_inserter(known), &seen_wait::thread);
    auto owners = mutex_owners();
    auto answers = asking.ask_every_thread(known, [](pid_t) { return true; });
    std::erase_if(answers, [](thread_stack const& answer) {
        return answer.blocks && is_name_of_tool_thread(answer.name);
    });
    for (auto& answer : answers) {
        if (answer.spared && held.has(answer.id)) {
            look_at_sleeping_holder(asking, held, answer);
        }
    }
    std::vector<void const*> instructions;
    std::map<void const*, std::size_t> places;
    auto const call_at = [](thread_stack const& thread, std::size_t frame) {
        return static_cast<char const*>(thread.frames[frame]) - (frame == 0 ? 0 : 1);
    };
    for (auto const& answer : answers) {
        for (std::size_t frame = 0; frame < answer.frames.size(); ++frame) {
            void const* const call = call_at(answer, frame);
            if (places.emplace(call, instructions.size()).second) {
                instructions.push_back(call);
            }
        }
    }
    auto const of_each = call_frames_of_each(instructions);
    // A thread that handled the signal that asks for a report is back in its wait by now.
    owners.merge(mutex_owners());
    std::vector<thread_seen> threads;
    auto const main = std::ranges::find(answers, getpid(), &thread_stack::id);
    for (auto const& answer : answers) {
        // A thread has its creator's name until it gets its own.
        bool const is_named = main == answers.end() || answer.name != main->name;
        thread_seen seen{.id = answer.id,
                         .name = is_named ? answer.name : std::string(),
                         .silent = answer.silent,
                         .spared = answer.spared,
                         .is_main = answer.id == getpid(),
                         .holds_gil = answer.silent.empty() && !is_free_threaded()
                                          ? answer.holds_gil
                                          : held.has(answer.id),
                         .left_out = answer.left_out};
        auto const wait = std::ranges::find(waiting, answer.id, &seen_wait::thread);
        if (wait != waiting.end() && !seen.holds_gil) {
            seen.waits = now - wait->since;
            seen.stops_the_others = wait->stops_the_others;
        }
        if (auto const owner = owners.find(answer.id); owner != owners.end()) {
            seen.mutex_owner = owner->second;
        }
        std::string& stack = seen_stacks[answer.id];
        stack.append(seen.holds_gil ? "h" : "").append(seen.waits ? "w" : "").append(":");
        for (std::size_t frame = 0; frame < answer.frames.size(); ++frame) {
            void const* const call = call_at(answer, frame);
            stack += std::to_string(reinterpret_cast<std::uintptr_t>(call)) + ",";
            if (frame > 0) {
                name_by_call(seen.frames.back(), answer.frames[frame]);
            }
            std::ranges::copy(of_each[places.at(call)], std::back_inserter(seen.frames));
        }
        bool const is_known = answer.silent.empty() && answer.handle != pthread_t{};
        pthread_t const handle = is_known ? answer.handle
                                 : seen.holds_gil && !is_free_threaded()
                                     ? holder_of_gil().thread
                                     : python_thread(answer.id, stacks).value_or(pthread_t{});
        seen.python = python_stack_of(handle, stacks);
        if (seen.python.find("File \"") == std::string::npos) {
            seen.python.clear();  // Python knows the thread, which executes nothing
        }
        stack += seen.python;
        threads.push_back(std::move(seen));
    }
    return threads;
}

/// Listens to Python's GIL, if there is a Python. GIL: held; or Python is not initialised.
/// Threads: one at a time. Throws: std::runtime_error.
void find_python() {
    auto const* const found = running_python::find();
    if (found == nullptr) {
        return;
    }
    found->keep_loaded();
    prepare_python_stacks(found->object);
    if (found->is_free_threaded) {
        listen_to_attach_waits(*found, attach_events);
    }
    if (found->is_initialized() == 0 || found->has_gil_now()) {
        if (found->is_initialized() != 0) {
            held_since = now_in_ticks();
        }
        listen_to_gil(*found, listener);
    } else if (!listen_to_gil(found->object, false, listener)) {  // it may be switched on later
        throw std::runtime_error("its calls to pthread_cond_signal cannot be redirected");
    }
    python = found;
}

/// Throws: std::runtime_error, which says what could not be done.
void find_python_or_refuse() {
    try {
        find_python();
    } catch (std::runtime_error const& wrong) {
        throw std::runtime_error(std::string("gilwatch cannot watch this Python: ") + wrong.what());
    }
}

/// The thread that watches.
class watch {
public:
    void run() {
        clock::time_point not_before = clock::now();  // no wait counts from earlier
        seconds limit{patience.load()};
        clock::rep reported_hold = 0;
        while (true) {
            seconds const after{patience.load()};
            if (after.count() == 0 || pausing) {
                return;
            }
            // Often, until Python is initialised: its main thread must be asked for its stacks
            // while it still runs Python code. A moment later it may hang.
            auto const longest_pause =
                asked_for_stacks_ ? std::chrono::seconds(1) : std::chrono::milliseconds(5);
            auto const pause =
                std::clamp<seconds>(after / 4, std::chrono::milliseconds(5), longest_pause);
            clock::time_point const due =
                clock::now() + std::chrono::duration_cast<clock::duration>(pause);
            wait_until(wake_up, due);
            prepare();
            auto const now = clock::now();
            if (now - due > std::max<seconds>(pause, std::chrono::milliseconds(100))) {
                not_before = now;  // the process was stopped, with all its threads
            }
            auto waiting = waits_now();
            clock::time_point oldest = now;
            for (auto& each : waiting) {
                each.since = std::max(each.since, not_before);
                oldest = std::min(oldest, each.since);
            }
            seconds const longest = std::max<seconds>(now - oldest, sleeping_hold(now, not_before));
            unsigned const made = calls;
            bool const wanted = report_wanted.exchange(false) || made != answered;
            // A report wakes the holder for a moment: this is still the same hold.
            clock::rep const this_hold = held_since.load(std::memory_order_relaxed);
            if (longest < after && (this_hold != reported_hold || is_free_threaded())) {
                limit = after;
            }
            if (longest >= limit || wanted) {
                reported_hold = this_hold;
                limit = longest >= limit ? 2 * longest : limit;
                write_report(waiting, wanted && longest < after ? seconds(0) : longest);
            }
            answered = made;
        }
    }

private:
    /// In case Python is initialised after the watch has begun.
    void prepare() {
        running_python const* const found = python;
        if (found != nullptr && found->is_initialized() != 0 &&
            !std::exchange(asked_for_stacks_, true)) {
            ask_for_python_stacks(false);
            name_threads(*found, false);
        }
    }

    /// How long the GIL has been held by a thread that sleeps, and so does not release it. The
    /// thread must have slept at the last look as well, and not have run in between.
    seconds sleeping_hold(clock::time_point now, clock::time_point not_before) {
        clock::rep const since = held_since.load(std::memory_order_relaxed);
        pid_t const holder = holder_of_gil().id;
        if (since == 0 || holder == 0) {
            last_ = {};
            return seconds(0);
        }
        hold const seen{.since = since, .thread = holder, .status = status_of(holder)};
        bool const sleeps = seen.status.sleeps && seen == last_;
        last_ = seen;
        clock::time_point const begin{clock::duration{since}};
        return sleeps ? seconds(now - std::max(begin, not_before)) : seconds(0);
    }

    void write_report(std::vector<seen_wait> waiting, seconds so_long) {
        is_writing = true;
        std::string text;
        try {
            text = report_of(std::move(waiting), so_long);
        } catch (std::exception const& failure) {
            text = std::string("gilwatch: could not find out which thread keeps which waiting: ") +
                   failure.what() + "\n";
        }
        write_stderr(text);
        is_writing = false;
    }

    /// Empty: the wait is over already. If the holder took the GIL after Python's stacks were read,
    /// and so has none there, it looks again, at most that often.
    std::string report_of(std::vector<seen_wait> waiting, seconds so_long, int again = 3) {
        clock::rep const since = held_since.load(std::memory_order_relaxed);
        // First, because a waiting thread may continue when it is asked for its C++ stack.
        std::string const stacks = python_stacks();
        auto const still = waits_now();
        std::erase_if(waiting, [&](seen_wait const& each) {
            return std::ranges::find(still, each.thread, &seen_wait::thread) == still.end();
        });
        auto const now = clock::now();
        bool const went_on = held_since.load(std::memory_order_relaxed) != since;
        times_seen times{.so_long = so_long};
        times.held = went_on ? clock::duration(0) : now - clock::time_point(clock::duration(since));
        times.held_by = went_on ? 0 : holder_of_gil().id;
        times.holder_has_ended = times.held_by != 0 && has_ended(times.held_by);
        auto const* const watched = python.load();
        times.python_ends = watched != nullptr && watched->is_ending();
        times.is_free_threaded = is_free_threaded();
        auto const oldest = std::ranges::min_element(waiting, {}, &seen_wait::since);
        if (oldest != waiting.end()) {
            times.held_long = clock::duration(held_long_until(now.time_since_epoch().count()) -
                                              oldest->held_long_before);
        }
        if (went_on && so_long.count() > 0 && waiting.empty()) {
            return {};
        }
        stacks_seen seen_stacks;
        unsigned const pauses_before = pauses;
        bool const is_pausing = pausing;
        auto threads = look_at_threads(asking_, waiting, now, stacks, seen_stacks);
        if (is_pausing ||
            pauses != pauses_before) {  // a thread waited for this one's end, to fork()
            return {};
        }
        bool const came_late = std::ranges::any_of(
            threads, [](thread_seen const& each) { return each.holds_gil && each.python.empty(); });
        if (came_late && again > 0 && held_since.load(std::memory_order_relaxed) != since) {
            return report_of(std::move(waiting), so_long, again - 1);
        }
        bool const is_over = std::ranges::none_of(threads, [](thread_seen const& each) {
            return each.holds_gil || each.waits_for_gil();
        });
        if (is_over && so_long.count() > 0) {
            return {};
        }
        for (thread_seen& each : threads) {
            auto const last = last_stacks_.find(each.id);
            each.is_unchanged =
                last != last_stacks_.end() && last->second == seen_stacks.at(each.id);
        }
        std::string text = "gilwatch: " + diagnosis(std::move(threads), times);
        if (seen_stacks == last_stacks_) {
            text.resize(std::min(text.find("\n\n"), text.size() - 1) + 1);
            text += "  the stacks are unchanged since the last report\n";
        }
        last_stacks_ = std::move(seen_stacks);
        return text;
    }

    struct hold {
        clock::rep since = 0;
        pid_t thread = 0;
        thread_status status{};
        bool operator==(hold const&) const = default;
    };

    stack_signal asking_{&holds_gil};
    hold last_{};
    stacks_seen last_stacks_;
    bool asked_for_stacks_ = false;
};

/// The signal that asks for reports, and its former handler.
class report_signal {
public:
    /// Handles that signal from now on; 0: none. GIL: any.
    void answer(int wanted) noexcept {
        if (wanted == number_) {
            return;
        }
        give_back();
        if (wanted != 0) {
            struct sigaction action{};
            action.sa_handler = &ask_for_report;
            action.sa_flags = SA_RESTART;
            sigaction(wanted, &action, &before_);
            number_ = wanted;
        }
    }

    /// Unless other code has taken the signal meanwhile.
    void give_back() noexcept {
        struct sigaction now{};
        int const number = std::exchange(number_, 0);
        if (number != 0 && sigaction(number, nullptr, &now) == 0 &&
            now.sa_handler == &ask_for_report) {
            sigaction(number, &before_, nullptr);
        }
    }

private:
    static void ask_for_report(int /*number*/) {
        report_wanted = true;
        int const saved = errno;
        sem_post(&wake_up);
        errno = saved;
    }

    int number_ = 0;
    struct sigaction before_{};
};

constinit report_signal asked_by;         // guarded by `life`
std::atomic<int> signal_for_reports = 0;  // which signal to handle while it watches

/// Does nothing if it runs, or if another thread holds `life`.
void run_watch(std::unique_lock<std::mutex> const& held) {
    if (!held || patience == 0) {
        return;
    }
    asked_by.answer(signal_for_reports);
    if (is_running) {
        return;
    }
    if (std::exchange(is_joinable, false)) {
        pthread_join(watching, nullptr);  // it has ended
    }
    is_running = true;
    is_joinable = begin_tool_thread(
        watching,
        [](void*) -> void* {
            try {
                watch().run();
            } catch (std::exception const& failure) {
                write_stderr(std::string("gilwatch: stopped watching: ") + failure.what() + "\n");
                patience = 0;
            }
            is_running = false;
            return nullptr;
        },
        "gilwatch");
    if (!is_joinable) {
        is_running = false;
        patience = 0;
        write_stderr("gilwatch: stopped watching: no thread can be started\n");
    }
}

/// Waits for the thread, which has been told to end. If it is writing a report, it is left alone,
/// because perhaps no one reads it. REQUIRES: `life`.
void await_end() {
    static constexpr std::chrono::milliseconds patience_with_it{100};
    if (is_joinable) {
        sem_post(&wake_up);
        is_joinable = !is_joined_within(watching, patience_with_it);
    }
}

/// Ends the thread, because since Python 3.12 os.fork() warns if the process has several. The next
/// thread that takes the GIL starts it again.
void pause_for_fork() {
    life.lock();
    pausing = true;
    ++pauses;
    await_end();
    pausing = false;
}

/// A child has only the thread that forked.
void begin_anew_in_child() {
    for (wait& each : waits) {
        each.thread = 0;
    }
    own_wait = nullptr;
    is_running = false;
    is_joinable = false;
    report_wanted = false;
    answered.store(calls);
    is_writing = false;
    sem_init(&wake_up, 0, 0);
    life.unlock();
}

/// So that the process does not end before a report is made. It does not wait for a reader of
/// stderr, which may wait for the process's end.
void exit_after_report(int /*code*/, void* /*unused*/) {
    static constexpr timespec a_moment{.tv_sec = 0, .tv_nsec = 10'000'000};
    for (int moment = 0; moment < 200 && is_running && is_writing; ++moment) {
        nanosleep(&a_moment, nullptr);
    }
}

void prepare_once() {
    static constinit std::atomic<bool> is_prepared = false;
    if (!is_prepared.exchange(true)) {
        remember_stderr();
        sem_init(&wake_up, 0, 0);
        on_exit(&exit_after_report, nullptr);
        pthread_atfork(&pause_for_fork, [] { life.unlock(); }, &begin_anew_in_child);
    }
}

constinit one_at_a_time::process starts{0};

void begin(settings const& wanted) {
    prepare_once();
    signal_for_reports = wanted.signal;
    patience = wanted.after.count();
}

}  // namespace

settings settings_from(std::string_view text) {
    settings read;
    auto const refuse = [text] {
        throw std::invalid_argument(
            "gilwatch's settings are a positive number of seconds, and signal=NUMBER after a comma "
            "for reports on demand (5,signal=12), not '" +
            std::string(text) + "'");
    };
    std::string_view const number = text.substr(0, text.find(','));
    if (!number.empty()) {
        double after = 0;
        auto const [end, error] =
            std::from_chars(number.data(), number.data() + number.size(), after);
        if (error != std::errc() || end != number.data() + number.size() || !std::isfinite(after) ||
            after <= 0) {
            refuse();
        }
        read.after = std::min<seconds>(seconds(after), std::chrono::hours(24 * 365));
    }
    if (number.size() < text.size()) {
        static constexpr std::string_view key = ",signal=";
        std::string_view rest = text.substr(number.size());
        if (!rest.starts_with(key)) {
            refuse();
        }
        rest.remove_prefix(key.size());
        auto const [end, error] =
            std::from_chars(rest.data(), rest.data() + rest.size(), read.signal);
        if (error != std::errc() || end != rest.data() + rest.size()) {
            refuse();
        }
        struct sigaction used{};
        if (!may_request(read.signal) || sigaction(read.signal, nullptr, &used) != 0) {
            throw std::invalid_argument(
                "gilwatch's signal must be one that can be handled, such as 12, not " +
                std::to_string(read.signal) + ", in '" + std::string(text) + "'");
        }
    }
    return read;
}

void start(settings const& wanted) {
    if (fcntl(STDERR_FILENO, F_GETFD) < 0) {
        return;  // no one would see it
    }
    if (python == nullptr) {
        // Not a mutex: a thread that waits for the GIL would hold it.
        one_at_a_time const this_start(starts,
                                       "another thread starts gilwatch just now: once is enough");
        find_python_or_refuse();
        if (python == nullptr) {
            throw std::runtime_error(
                "gilwatch cannot watch this Python: its symbols are hidden, or there is none");
        }
        ask_for_python_stacks(true);
        name_threads(*python, true);
    }
    begin(wanted);
    run_watch(std::unique_lock(life));
}

void start_with_python(settings const& wanted) {
    find_python_or_refuse();
    begin(wanted);
    if (is_free_threaded()) {  // otherwise the thread begins with the first take of the GIL
        run_watch(std::unique_lock(life));
    }
}

void stop() noexcept {
    std::scoped_lock const held(life);
    patience = 0;
    asked_by.give_back();
    await_end();
}

void report() {
    static constexpr std::chrono::milliseconds a_moment{5};
    sem_t never_posted;  // not a sleep: a thread that sleeps is not asked where it is
    sem_init(&never_posted, 0, 0);
    unsigned const call = ++calls;
    do {
        if (patience == 0) {
            throw std::runtime_error("gilwatch does not watch: call gilwatch.start() first");
        }
        run_watch(std::unique_lock(life));  // a fork() may have ended it
        sem_post(&wake_up);
        wait_until(never_posted, clock::now() + a_moment);
    } while (static_cast<int>(call - answered) > 0);
}

}  // namespace handoff::gilwatch
