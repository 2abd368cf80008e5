// gilcheck: what is checked, since when, and whether a call was a violation after all.
#include "checked_calls.hpp"
#include "crash_notice.hpp"
#include "finding_reports.hpp"
#include "gil_budget.hpp"
#include "gil_events.hpp"
#include "gil_statistics.hpp"
#include "handoff_pieces.hpp"
#include "lock_order.hpp"
#include "one_at_a_time.hpp"
#include "python_locks.hpp"
#include "python_stacks.hpp"
#include "report_log.hpp"
#include "reported_once.hpp"
#include "running_python.hpp"
#include "standard_error.hpp"
#include "thread_names.hpp"
#include "violation.hpp"
#include <handoff/gilcheck.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <cxxabi.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <mutex>
#include <new>
#include <optional>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace handoff::gilcheck {

using namespace detail;

/// Which copy of this code checks. Visible, so that all copies in a process see it.
// NOLINTBEGIN(misc-use-internal-linkage): one for all modules of the process
[[gnu::visibility("default")]] inline constinit std::atomic<void const*> checker_of_process =
    nullptr;
// NOLINTEND(misc-use-internal-linkage)

namespace {

running_python const* python = nullptr;
std::atomic<bool> was_initialized = false;
std::atomic<unsigned> reports = 0;
std::atomic<unsigned> unfinished = 0;  // those of them that are being made
[[gnu::tls_model("initial-exec")]] constinit thread_local bool reporting = false;
std::atomic<unsigned> calls_reported = 0;  // also those that are not written again
std::atomic<bool> tells_of_crashes = false;
// If a program begins with its stderr closed, that number later belongs to another file.
std::atomic<bool> has_stderr = false;

/// Exists before the compiler's initialisation when the program begins: a preloaded library starts
/// then.
settings& how() {
    static auto& only = *new settings();
    return only;
}

/// Whether a subinterpreter's GIL is held: no listener receives that GIL's events.
bool is_attached() {
    return python->current_state != nullptr && python->current_state() != nullptr;
}

bool is_first_from(void const* place) noexcept {
    static constinit reported_once<(1U << 14U)> known;
    return known.is_first(reinterpret_cast<std::uintptr_t>(place));
}

/// Whether Python has not started yet.
bool may_be_ignored() {
    return python->is_initialized() == 0 && !was_initialized.load(std::memory_order_relaxed);
}

/// Returns: whether a report is wanted; then the process waits for it before it ends.
bool begin_report() noexcept {
    if (how().then == reaction::once && reports > 0) {
        return false;
    }
    ++unfinished;
    return true;
}

void end_report() {
    --unfinished;
    unfinished.notify_all();
}

void write(std::string const& text) {
    if (!write_to_log(text) && has_stderr) {
        write_stderr(text);
    }
}

void write_note(std::string const& text) {
    write(text);
    end_report();
}

void write_report(std::string const& text) {
    bool const is_first = reports++ == 0;  // even if several threads began one at once
    if (is_first || how().then != reaction::once) {
        write(text);
    }
    if (how().then == reaction::abort) {
        std::abort();
    }
    end_report();
}

void finish_reports();

finding_reports reports_from_now() {
    return {.begin = &begin_report,
            .write = &write_report,
            .note = &write_note,
            .leave_out = &end_report,
            .finish = &finish_reports,
            .json = how().json};
}

void on_take() noexcept;

/// Boost.Python keeps Python objects in static objects of its own, which die after Python. Each of
/// them counts a reference, which does no harm. In a build with a GIL the compiler inlines that
/// count, and gilcheck does not see it.
bool is_of_boosts_own_statics(std::string_view called, void const* return_address) noexcept {
    Dl_info caller{};
    return python->is_free_threaded && python->is_initialized() == 0 &&
           (called == "_Py_DecRefShared" || called == "_Py_MergeZeroLocalRefcount") &&
           dladdr(return_address, &caller) != 0 &&
           std::string_view(caller.dli_fname).find("/libboost_python") != std::string_view::npos;
}

/// On a free-threaded build there is no event when a thread attaches, so each call checks.
bool on_call_without_gil(checked_call const& call, void* return_address) {
    if (is_attached()) {
        if (python->is_free_threaded && !reporting) {
            on_take();
        }
        return python->is_free_threaded;
    }
    if (!how().calls || reporting || may_be_ignored() ||
        is_of_boosts_own_statics(call.name, return_address)) {
        return false;
    }
    reporting = true;
    ++calls_reported;
    if (is_first_from(return_address) && begin_report()) {
        violation const found =
            violation::here(call.name, return_address, python->is_initialized() != 0);
        reports_from_now().end([&found] { return found.facts(); },
                               [&found] {
                                   std::fflush(stdout);
                                   return how().json ? found.json() : found.text();
                               });
    }
    reporting = false;
    return false;
}

void finish_reports() {
    finish_looking();
    for (unsigned now = unfinished; now > 0 && !reporting; now = unfinished) {
        unfinished.wait(now);
    }
}

std::atomic<bool> takes_figures = false;
pid_t started_by = 0;

/// From "figures.json" to "figures.4711.json".
std::string name_for_child(std::string const& name) {
    auto const ending = name.rfind('.');
    return name.substr(0, ending) + '.' + std::to_string(getpid()) + name.substr(ending);
}

/// At the end of each process; a child's file name contains its process number.
void write_statistics() {
    if (!takes_figures || how().statistics.empty()) {
        return;
    }
    std::string_view const name = how().statistics;
    std::string const figures =
        gil_statistics(name.ends_with(".json")   ? statistics_format::json
                       : name.ends_with(".prom") ? statistics_format::prometheus
                                                 : statistics_format::text);
    std::string const path =
        getpid() == started_by ? how().statistics : name_for_child(how().statistics);
    std::FILE* const file = std::fopen(path.c_str(), "w");
    bool const is_written =
        file != nullptr && std::fwrite(figures.data(), 1, figures.size(), file) == figures.size();
    if (file == nullptr || std::fclose(file) != 0 || !is_written) {
        write_stderr("gilcheck: the figures of the GIL cannot be written to " + path + ": " +
                     std::strerror(errno) + "\n");
    }
}

/// So that the process does not end before a report is made, nor as if nothing had been found.
void exit_after_reports(int code, void* /*unused*/) {
    finish_reports();
    write_statistics();
    if (code == 0 && reports > 0) {
        std::fflush(nullptr);
        _exit(exit_code);
    }
}

[[noreturn]] void refuse(std::string const& why) {
    throw std::runtime_error("gilcheck: cannot check this Python: " + why);
}

/// Returns whether there is a Python yet.
bool find_python() {
    try {
        running_python const* const found = running_python::find();
        if (found != nullptr &&
            (how().python_locks || how().budget.count() > 0 || !how().statistics.empty())) {
            found->require_gil();
        }
        python = found;
    } catch (std::runtime_error const& wrong) {
        refuse(wrong.what());
    }
    return python != nullptr;
}

/// Before the process dies of a fault: waits a while for a report that another thread makes. Called
/// in a signal's handler.
void wait_for_reports() noexcept {
    constexpr timespec moment{.tv_sec = 0, .tv_nsec = 10'000'000};
    constexpr int most_moments = 500;
    for (int waited = 0;
         waited < most_moments && unfinished > 0 && !reporting && how().then != reaction::abort;
         ++waited) {
        nanosleep(&moment, nullptr);
    }
}

/// As it is where std::terminate() has been called because nobody catches it.
bool is_exception_in_progress() noexcept { return abi::__cxa_current_exception_type() != nullptr; }

void tell_of_crash(std::string_view signal) noexcept {
    wait_for_reports();
    if (has_stderr) {
        end_temporary_log();
    }
    if (signal == "SIGTERM" || !how().calls || calls_reported > 0 || unfinished > 0 ||
        !has_stderr) {
        return;
    }
    bool const is_abort = signal == "SIGABRT";
    std::string_view const nothing_of_it = reports > 0
                                               ? ". What is reported above is another matter: "
                                               : ", and nothing was reported: ";
    if (is_abort && is_exception_in_progress()) {
        write_in_one_piece(
            {"gilcheck: the program dies of SIGABRT, and a C++ exception is in progress. If "
             "terminate() names it before this, nobody caught it. If it is \"PyGILState_Check() "
             "failure\", pybind11 has ended the program because a reference was counted without "
             "the GIL: compile with -DNDEBUG $(gilcheck --includes) -include "
             "handoff/gilcheck_inline.h, and gilcheck names the line. If it is another, catch it "
             "where the thread's function begins, or in the function that is noexcept. A callback "
             "of handoff's has .on_error\n"});
    } else if (is_abort && python->is_ending()) {
        write_in_one_piece(
            {"gilcheck: the program dies of SIGABRT while Python ends. A std::thread "
             "that is destroyed before it is joined does so: join it before. ",
             python->version < 0x030E0000 ? threads_at_pythons_end : "\n"});
    } else if (is_abort) {
        write_in_one_piece(
            {"gilcheck: the program dies of SIGABRT", nothing_of_it,
             "the message of what ended it comes before this. If pybind11 says that the GIL is not "
             "held, it ended the program before gilcheck saw the call: compile with -DNDEBUG "
             "$(gilcheck --includes) -include handoff/gilcheck_inline.h, and gilcheck names the "
             "line. After \"without an active exception\" look for a std::thread that is destroyed "
             "before it is joined\n"});
    } else {
        write_in_one_piece(
            {"gilcheck: the program dies of ", signal, nothing_of_it,
             "if a thread counts references (Py_INCREF, Py_DECREF) without the GIL, that is seen "
             "only in modules that were compiled with $(gilcheck --includes) -include "
             "handoff/gilcheck_inline.h\n"});
    }
}

/// As soon as there is a Python, and it has recorded each signal's handler. GIL: held.
void begin_to_tell_of_crashes() noexcept {
    if (!tells_of_crashes.load(std::memory_order_relaxed) && python->is_initialized() != 0 &&
        !tells_of_crashes.exchange(true)) {
        detail::tell_of_crashes(python->object, &tell_of_crash);
    }
}

void on_take() noexcept {
    was_initialized.store(true, std::memory_order_relaxed);
    note_held();
    begin_to_tell_of_crashes();
    if (on_early_call.load(std::memory_order_relaxed) != nullptr) {
        handoff_calls_go_on = false;
    }
}

/// Of a Python that begins after the check, nothing tells when it is initialised: the first call by
/// a thread that holds its GIL does, or the thread that watches the budget. GIL: any; unchanged.
void prepare_python_that_has_begun() noexcept {
    if (python->is_initialized() == 0 || on_early_call.exchange(nullptr) == nullptr) {
        return;
    }
    ask_for_python_stacks(false);
    name_threads(*python, false);
    handoff_calls_go_on =
        handoff_gil_held && on_slow_call.load(std::memory_order_relaxed) == nullptr;
}

constinit gil_listener const listener{.takes = &on_take};

/// One thread at a time checks what is loaded. It allocates nothing meanwhile, except when it finds
/// Python, because others wait for it, perhaps with their allocator's lock.
constinit std::mutex looking;
constinit std::atomic<unsigned long long> looked_at = 0;  // loads_so_far() as the last check began

/// The mutex is not held over fork(): an allocator's fork handler, for example, may wait for a
/// thread that waits for it. If a thread held it, the child looks again at what it had not seen.
void begin_to_look_in_child() noexcept {
    if (looking.try_lock()) {
        looking.unlock();
    } else {
        new (&looking) std::mutex();
        looked_at = 0;
    }
}

void begin_checking() {
    bool const held = python->is_initialized() != 0;
    was_initialized = held;
    has_stderr = fcntl(STDERR_FILENO, F_GETFD) >= 0;
    remember_stderr();
    if (!python->is_free_threaded) {
        try {
            listen_to_gil(*python, listener);
        } catch (std::runtime_error const& wrong) {
            refuse(wrong.what());
        }
    }
    prepare_violations(python->object);
    if (held) {
        note_held();
        ask_for_python_stacks(held);
        name_threads(*python, held);
        begin_to_tell_of_crashes();
    } else {
        on_early_call.store(&prepare_python_that_has_begun, std::memory_order_release);
    }
    on_violation.store(&on_call_without_gil, std::memory_order_release);
    pthread_atfork(nullptr, nullptr, [] {
        begin_to_look_in_child();
        unfinished = 0;  // the threads that make them are not in the child
        if (how().then != reaction::once) {
            reports = 0;  // the child's exit code is for its own
        }
    });
    on_exit(&exit_after_reports, nullptr);
}

/// Once: the watch lasts as long as the process.
void watch_locks_if_wanted() {
    static bool begun = false;
    if (how().deadlocks && !std::exchange(begun, true)) {
        start_lock_order(*python, reports_from_now());
        on_slow_call.store(&look_at_call_with_locks, std::memory_order_release);
        if (python->is_free_threaded) {
            on_gil_function.store(&look_at_attachment, std::memory_order_release);
        }
    }
    if (how().python_locks && python->is_initialized() != 0) {
        watch_python_locks(*python, handoff_gil_held);
    }
}

void take_figures_if_wanted() {
    if ((how().budget.count() > 0 || !how().statistics.empty()) && !takes_figures.exchange(true)) {
        started_by = getpid();
        start_gil_statistics(*python);
    }
    set_gil_budget(*python, how().budget, reports_from_now(), &prepare_python_that_has_begun);
}

void check_what_is_loaded() {
    bool is_new = false;
    {
        std::scoped_lock const held(looking);
        unsigned long long const now = loads_so_far();
        if (now == looked_at.exchange(now)) {
            return;
        }
        is_new = python == nullptr && find_python();
        if (is_new) {
            begin_checking();
            watch_locks_if_wanted();
            take_figures_if_wanted();
        }
        check_calls_into(python != nullptr ? &python->object : nullptr);
        if (python != nullptr) {
            if (python->is_initialized() != 0) {
                if (python->is_free_threaded) {
                    begin_to_tell_of_crashes();
                }
                ask_for_python_stacks(false);
                name_threads(*python, false);
                if (how().python_locks) {
                    watch_python_locks(*python, false);
                }
            }
            watch_locks_of_what_is_loaded();
        }
    }
    if (is_new) {
        python->keep_loaded();
    }
}

constinit one_at_a_time::process starts{0};  // start() releases the GIL

/// The checkers in the host and in the library are copies of each other. If the first checks
/// already, the second would take the redirected calls of the first for the program's.
bool is_the_only_checker() noexcept {
    static constinit char own = 0;
    void const* first = nullptr;
    return checker_of_process.compare_exchange_strong(first, &own) || first == &own;
}

/// From now on these are the settings. The paths of their files become absolute.
/// Throws: std::invalid_argument: a file cannot be read, or not be written.
void adopt(settings wanted) {
    if (!wanted.statistics.empty()) {
        require_own_file(wanted.statistics, "file of the statistics", beginnings_of_statistics);
        wanted.statistics = file_to_append_to(wanted.statistics, "file of the statistics");
    }
    use_rules({.suppressions = wanted.suppressions,
               .baseline = wanted.baseline,
               .write_baseline = wanted.write_baseline});
    log_to(wanted.log, wanted.temporary_log);
    log_deadlocks_to(wanted.deadlock_log);
    how() = std::move(wanted);
}

struct file_setting {
    std::string_view name;
    std::string settings::* path;
};
constexpr std::array file_settings = std::to_array<file_setting>({
    {.name = "statistics=", .path = &settings::statistics},
    {.name = "log=", .path = &settings::log},
    {.name = "deadlock-log=", .path = &settings::deadlock_log},
    {.name = "suppressions=", .path = &settings::suppressions},
    {.name = "baseline=", .path = &settings::baseline},
    {.name = "write-baseline=", .path = &settings::write_baseline},
});

bool is_name_of_statistics(std::string_view file) {
    return file.ends_with(".txt") || file.ends_with(".json") || file.ends_with(".prom");
}

/// Returns: whether the word names a file, which is then stored. Throws: std::invalid_argument.
bool reads_file_setting(std::string_view word, settings& read) {
    auto const* const found = std::ranges::find_if(
        file_settings, [word](auto const& each) { return word.starts_with(each.name); });
    if (found == file_settings.end()) {
        return false;
    }
    std::string& path = read.*found->path;
    std::string_view const given = word.substr(found->name.size());
    if (given.empty() || !path.empty()) {
        throw std::invalid_argument("gilcheck: '" + std::string(word) + "' " +
                                    (given.empty() ? "names no file: write it behind the ="
                                                   : "is a second one: name one file"));
    }
    path = given;
    if (!read.statistics.empty() && !is_name_of_statistics(read.statistics)) {
        throw std::invalid_argument(
            "gilcheck: the statistics' file ends in .txt, .json or .prom, not as '" +
            read.statistics.substr(read.statistics.rfind('/') + 1) + "'");
    }
    if (!read.baseline.empty() && !read.write_baseline.empty()) {
        throw std::invalid_argument(
            "gilcheck: baseline=FILE says what is known, and write-baseline=FILE writes it anew: "
            "give one of them, not '" +
            std::string(word) + "' as well");
    }
    return true;
}

/// What to do about a word that is not understood. before: the text before it.
std::string_view where_a_comma_may_not_be(std::string_view before) {
    auto const word = before.substr(before.find_last_of(',', before.size() - 2) + 1);
    settings read;
    return before.size() > 1 && reads_file_setting(word.substr(0, word.size() - 1), read)
               ? "; a file's path may have no comma, which ends it: give another path"
               : "";
}

/// Throws: std::invalid_argument: what is written into the file would destroy the other.
void refuse_one_file_for_two(settings const& read) {
    for (file_setting const& one : file_settings) {
        for (file_setting const& other : file_settings) {
            if (&one < &other && !(read.*one.path).empty() && read.*one.path == read.*other.path) {
                throw std::invalid_argument("gilcheck: '" + read.*one.path + "' is given for " +
                                            std::string(one.name) + " and for " +
                                            std::string(other.name) + ": give each its own file");
            }
        }
    }
}

struct flag {
    std::string_view word;
    bool settings::* member;
    bool value;
};
constexpr std::array flags = std::to_array<flag>({
    {.word = "json", .member = &settings::json, .value = true},
    {.word = "deadlocks", .member = &settings::deadlocks, .value = true},
    {.word = "python-locks", .member = &settings::python_locks, .value = true},
    {.word = "temporary-log", .member = &settings::temporary_log, .value = true},
    {.word = "no-calls", .member = &settings::calls, .value = false},
});
constexpr std::array reactions = std::to_array<std::pair<std::string_view, reaction>>(
    {{"abort", reaction::abort}, {"warn", reaction::warn}, {"once", reaction::once}});

/// Reads a setting that takes no value. `reacts`: whether a reaction was read before.
/// Returns: nothing if the word is not such a setting; false if it was given before.
std::optional<bool> reads_flag(std::string_view word, settings& read, bool& reacts) {
    if (auto const* const found = std::ranges::find(flags, word, &flag::word);
        found != flags.end()) {
        return std::exchange(read.*found->member, found->value) != found->value;
    }
    auto const* const found =
        std::ranges::find(reactions, word, &std::pair<std::string_view, reaction>::first);
    if (found == reactions.end()) {
        return std::nullopt;
    }
    read.then = found->second;
    return !std::exchange(reacts, true);
}

/// False for a NaN, too.
bool is_within(double nanoseconds) { return nanoseconds >= 1e5 && nanoseconds <= 1e15; }

/// Returns: whether the text is a time, such as "5ms".
bool is_time(std::string_view text, std::chrono::nanoseconds& time) {
    double number = 0;
    auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    std::string_view const unit = text.substr(static_cast<std::size_t>(end - text.data()));
    double const nanoseconds = unit == "us" ? 1e3 : unit == "ms" ? 1e6 : unit == "s" ? 1e9 : 0;
    if (failure != std::errc() || !is_within(number * nanoseconds)) {
        return false;
    }
    time = std::chrono::nanoseconds(static_cast<std::int64_t>(number * nanoseconds));
    return true;
}

/// The rest of the word after that beginning; nothing if the word begins otherwise.
std::optional<std::string_view> after(std::string_view beginning, std::string_view word) {
    return word.starts_with(beginning) ? std::optional(word.substr(beginning.size()))
                                       : std::nullopt;
}

}  // namespace

settings settings_from(std::string_view text) {
    settings read;
    bool reacts = false;
    std::string_view rest = text;
    while (!rest.empty()) {
        auto const comma = std::min(rest.find(','), rest.size());
        std::string_view const word = rest.substr(0, comma);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
        if (auto const budget = after("budget=", word)) {
            if (read.budget.count() != 0) {
                throw std::invalid_argument("gilcheck: '" + std::string(word) +
                                            "' is a second one: give one time");
            }
            if (!is_time(*budget, read.budget)) {
                throw std::invalid_argument(
                    "gilcheck: a budget is a time from 100us to 1000000s, such as 5ms, not '" +
                    std::string(*budget) + "'");
            }
            continue;
        }
        std::optional<bool> const is_first = reads_flag(word, read, reacts);
        if (is_first ? !*is_first : !reads_file_setting(word, read)) {
            throw std::invalid_argument(
                "gilcheck: '" + std::string(word) +
                (is_first ? "' is one too many" : "' is not a setting") +
                (word == text ? "" : " (in '" + std::string(text) + "')") +
                ": the settings are abort, warn or once; deadlocks; python-locks; "
                "budget=TIME; statistics=FILE; no-calls; json; temporary-log; and log=FILE, "
                "deadlock-log=FILE, suppressions=FILE, baseline=FILE "
                "or write-baseline=FILE; with commas between (warn,deadlocks,json)" +
                std::string(where_a_comma_may_not_be(
                    text.substr(0, static_cast<std::size_t>(word.data() - text.data())))));
        }
    }
    refuse_one_file_for_two(read);
    if (read.python_locks && !read.deadlocks) {
        throw std::invalid_argument(
            "gilcheck: python-locks goes with deadlocks: give both, or leave it out");
    }
    if (read.temporary_log && read.log.empty()) {
        throw std::invalid_argument(
            "gilcheck: temporary-log goes with log=FILE: give both, or leave it out");
    }
    if (!read.calls && !read.deadlocks && read.budget.count() == 0 && read.statistics.empty()) {
        throw std::invalid_argument(
            "gilcheck: no-calls needs deadlocks, a budget or statistics as well, else nothing is "
            "checked");
    }
    return read;
}

void start(settings const& wanted) {
    if (!is_the_only_checker()) {
        return;
    }
    one_at_a_time const this_start(starts,
                                   "gilcheck: another thread starts it just now: once is enough");
    adopt(wanted);
    if (on_violation.load(std::memory_order_acquire) != nullptr) {
        static_cast<void>(find_python());  // and checks whether it can do what is wanted
        watch_locks_if_wanted();
        take_figures_if_wanted();
        return;  // it checks already
    }
    try {
        if (!find_python()) {
            refuse("there is none in this process, or its symbols are hidden");
        }
        python->keep_loaded();
        begin_checking();
        watch_locks_if_wanted();
        take_figures_if_wanted();
        watch_for_loads(&check_what_is_loaded);
        check_what_is_loaded();
    } catch (...) {
        checker_of_process = nullptr;
        throw;
    }
}

std::string statistics() {
    return takes_figures ? gil_statistics(statistics_format::json) : std::string();
}

void flush() { finish_reports(); }

void finish() {
    finish_reports();
    write_statistics();
}

void start_with_python(settings const& wanted) {
    if (!is_the_only_checker()) {
        return;
    }
    adopt(wanted);
    watch_for_loads(&check_what_is_loaded);
    check_what_is_loaded();
}

}  // namespace handoff::gilcheck
