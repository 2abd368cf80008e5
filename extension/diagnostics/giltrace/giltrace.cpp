// giltrace: a recording's begin and its end.
#include "crash_notice.hpp"
#include "gil_recording.hpp"
#include "holder_stacks.hpp"
#include "one_at_a_time.hpp"
#include "request_signal.hpp"
#include "running_python.hpp"
#include "standard_error.hpp"
#include "thread_names.hpp"
#include "timeline.hpp"
#include "timeline_output.hpp"
#include <handoff/giltrace.hpp>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace handoff::giltrace {

using namespace detail;

namespace {

constexpr std::string_view recording_ending = ".recording";

std::string recording_of(std::string_view output) {
    return std::string(output) + std::string(recording_ending);
}

std::string output_of(std::string const& recording) {
    return recording.substr(0, recording.size() - recording_ending.size());
}

/// From trace.html.recording to trace.PROCESS.html.recording. Removes what an earlier process with
/// that number has written. Throws: std::system_error.
std::string path_in_child(std::string const& recording, pid_t process) {
    std::string path = recording;
    auto const ending = path.rfind('.', path.size() - recording_ending.size() - 1);
    path.insert(ending, std::string(".").append(std::to_string(process)));
    make_sure_of(output_of(path));
    remove_earlier(output_of(path));
    return path;
}

enum class phase { none, records, is_over, is_written };

/// Of this process's recording. The thread that makes it `is_written` writes it, without the GIL.
std::atomic<phase> state = phase::none;
pid_t recorded_by = 0;  // a child of fork() records too, but writes nothing of its parent's
std::string over;  // the recording's path, from is_over on
summary at_exit = summary::on_stderr;

constexpr std::chrono::milliseconds a_moment{1};

phase current_phase() {
    phase const now = state;
    bool const is_parents = now > phase::records && recorded_by != getpid();
    return is_parents ? phase::none : now;
}

/// A recording begins or ends: this releases the GIL, and another thread would find a recording
/// that is half made.
constinit one_at_a_time::process changes{0};
constexpr auto nothing_recorded =
    "giltrace: there is no recording of the GIL: giltrace.start('trace.html'), "
    "`python3 -m giltrace -o trace.html`, or -X giltrace=trace.html of the host begins one";
constexpr auto refusal =
    "giltrace: another thread begins or ends a recording of the GIL just now: one at a time";

/// REQUIRES: a change.
void tie_to_the_process() {
    static constinit bool is_tied = false;
    if (!std::exchange(is_tied, true)) {
        on_exit([](int, void*) { finish(); }, nullptr);
    }
}

running_python const& this_python() {
    std::string why = "there is none in this process, or its symbols are hidden";
    try {
        if (auto const* const found = running_python::find()) {
            found->require_gil();
            found->keep_loaded();
            return *found;
        }
    } catch (std::runtime_error const& wrong) {
        why = wrong.what();
    }
    throw std::runtime_error("giltrace: cannot record this Python: " + why);
}

/// If its reader has gone, the program must not end by a SIGPIPE that giltrace caused.
void say(std::string_view text) {
    sigset_t pipe;
    sigset_t former;
    sigset_t pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &former);
    std::fflush(stderr);
    write_stderr(text);
    if (sigismember(&pending, SIGPIPE) == 0) {
        timespec const at_once{};
        sigtimedwait(&pipe, nullptr, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &former, nullptr);
}

/// Throws: as timeline::read(); std::runtime_error: the output cannot be written, with the reason,
///         and where the recording is.
void write(std::string const& recording, std::string const& output, summary told) {
    timeline const read = timeline::read(recording);
    try {
        detail::write(read, output, told == summary::on_stderr ? &say : nullptr);
    } catch (std::exception const& failure) {
        throw std::runtime_error(std::string(failure.what()) + "; the recording is left, which `" +
                                 "python3 -m giltrace -o OUTPUT --recording " + recording +
                                 "` draws elsewhere, or later");
    }
    if (told == summary::on_stderr) {
        std::string const text = summary_of(read) + "written to " + output + "\n";
        std::fflush(stdout);
        say(text);
    }
}

/// A snapshot's path: from trace.html.recording to trace.snapshot1.html.
std::string snapshot_of(std::string const& recording, unsigned number) {
    std::string path = output_of(recording);
    return path.insert(path.rfind('.'), ".snapshot" + std::to_string(number));
}

unsigned snapshots = 0;  // that were written without a request

constinit one_at_a_time::process writes{0};

struct written {
    std::string output;
    std::string answer;  // as the summary begins
};

/// Throws: as snapshot().
template <class OutputOf>
written write_snapshot(OutputOf const& output_of_recording) {
    one_at_a_time const this_one(
        writes, "giltrace: another thread writes a snapshot of the GIL just now: one at a time");
    std::string output;
    timeline read;
    {
        recording_reader const now;
        if (now.path().empty()) {
            throw std::invalid_argument(nothing_recorded);
        }
        output = output_of_recording(now.path());
        read = timeline::read(now.path(), now.now());
    }
    detail::write(read, output, nullptr);
    return {.output = output, .answer = answer_of(read)};
}

/// On giltrace's own thread.
void write_next_snapshot() {
    try {
        auto const [output, answer] = write_snapshot(
            [](std::string const& recording) { return snapshot_of(recording, ++snapshots); });
        say("giltrace: a snapshot is written to " + output + "\n" + answer);
    } catch (std::exception const& failure) {
        say(std::string(failure.what()) + ": there is no snapshot\n");
    }
}

/// Removes those of an earlier run, which would look like this run's. Throws: as remove_earlier().
void remove_earlier_snapshots(std::string const& output) {
    for (unsigned number = 1;; ++number) {
        std::string const path = snapshot_of(recording_of(output), number);
        if (!std::filesystem::exists(path)) {
            return;
        }
        make_sure_of(path);
        remove_earlier(path);
    }
}

/// Throws: std::invalid_argument.
void check_output(std::string_view output) {
    if (output.empty()) {
        throw std::invalid_argument(
            "giltrace: no file was named: name one that ends with .html, .json or .svg "
            "(-o trace.html, -X giltrace=trace.html)");
    }
    static_cast<void>(format_of(output));
}

/// Throws: std::invalid_argument.
void check(options const& how) {
    for (auto const& [name, value] :
         {std::pair("stack_after", how.stack_after.count()), std::pair("last", how.last.count()),
          std::pair("when_wait_exceeds", how.when_wait_exceeds.count())}) {
        if (!std::isfinite(value) || value < 0 || value > 1e9) {
            throw std::invalid_argument(std::string("giltrace: ") + name +
                                        " is a number of seconds, from 0 on, not " +
                                        std::to_string(value));
        }
    }
    struct sigaction used{};
    if (how.signal != 0 && (sigaction(how.signal, nullptr, &used) != 0 ||
                            !may_request(how.signal) || used.sa_handler != SIG_DFL)) {
        throw std::invalid_argument("giltrace: signal " + std::to_string(how.signal) +
                                    " cannot be used: it cannot be handled, or the program handles "
                                    "it; choose another, such as 12");
    }
}

/// Called in the handler of the signal that ends the program.
void tell_of_crash(std::string_view signal) noexcept {
    if (std::string const* const recording = recording_in_progress()) {
        std::string_view const path = *recording;
        std::string_view const output = path.substr(0, path.size() - recording_ending.size());
        write_in_one_piece({"giltrace: the program dies of ", signal,
                            ", and its recording is left: `python3 -m giltrace -o ", output,
                            " --recording ", path, "` draws it\n"});
    }
}

int signal_for_snapshots = 0;

void answer_signals(int number) {
    struct sigaction action{};
    if (number != 0) {
        action.sa_handler = [](int) { holder_stacks::want(&write_next_snapshot); };
        action.sa_flags = SA_RESTART;
        sigaction(number, &action, nullptr);
        holder_stacks::begin();
    }
    if (int const former = std::exchange(signal_for_snapshots, number);
        former != 0 && number == 0) {
        action.sa_handler = SIG_DFL;
        sigaction(former, &action, nullptr);
    }
}
/// Throws: std::invalid_argument.
[[noreturn]] void refuse(std::string_view option) {
    throw std::invalid_argument("giltrace: does not know '" + std::string(option) +
                                "': it knows last=SECONDS, when-wait-exceeds=SECONDS, "
                                "stack-after=SECONDS and signal=NUMBER, as in trace.html,last=30");
}

}  // namespace

settings settings_from(std::string_view text) {
    auto end = text.size();
    for (std::string_view const ending : {".json,", ".html,", ".svg,"}) {
        if (auto const found = text.find(ending); found != std::string_view::npos) {
            end = std::min(end, found + ending.size() - 1);
        }
    }
    settings read{.output = std::string(text.substr(0, end)), .how = {}};
    for (auto rest = text.substr(end); !rest.empty();) {
        std::string_view const option = rest.substr(1, rest.find(',', 1) - 1);
        rest.remove_prefix(option.size() + 1);
        auto const equals = std::min(option.find('='), option.size());
        std::string_view const name = option.substr(0, equals);
        double number = 0;
        auto const [last, error] =
            std::from_chars(option.data() + std::min(equals + 1, option.size()),
                            option.data() + option.size(), number);
        if (error != std::errc() || last != option.data() + option.size()) {
            refuse(option);
        }
        std::chrono::duration<double> const seconds(number);
        if (name == "stack-after") {
            read.how.stack_after = seconds;
        } else if (name == "last") {
            read.how.last = seconds;
        } else if (name == "when-wait-exceeds") {
            read.how.when_wait_exceeds = seconds;
        } else if (name == "signal" && number == std::floor(number) && number <= SIGRTMAX) {
            read.how.signal = static_cast<int>(number);
        } else {
            refuse(option);
        }
    }
    return read;
}

void start(std::string_view wanted, options const& how) {
    check_output(wanted);
    check(how);
    one_at_a_time const change(changes, refusal);
    if (current_phase() > phase::records) {
        throw std::runtime_error(refusal);
    }
    if (current_phase() == phase::records) {
        throw std::invalid_argument(
            "giltrace: there is a recording of the GIL already: one at a time");
    }
    running_python const& python = this_python();
    std::string const output = std::filesystem::absolute(wanted);  // the program may call chdir()
    make_sure_of(output);
    try {
        start_recording(python, recording_of(output),
                        {.stack_after = how.stack_after,
                         .last = how.last,
                         .when_wait_exceeds = how.when_wait_exceeds,
                         .on_long_wait = &write_next_snapshot},
                        &path_in_child);
    } catch (std::system_error const&) {
        throw;
    } catch (std::runtime_error const& wrong) {
        throw std::runtime_error(std::string("giltrace: cannot record this Python: ") +
                                 wrong.what());
    }
    try {
        remove_earlier(output);
        remove_earlier_snapshots(output);
    } catch (...) {
        unlink(stop_recording().c_str());
        throw;
    }
    state = phase::records;
    at_exit = how.at_exit;
    snapshots = 0;
    answer_signals(how.signal);
    if (python.is_initialized() != 0) {
        name_threads(python, true);
        tell_of_crashes(python.object, &tell_of_crash);
    }
    tie_to_the_process();
}

void end() {
    one_at_a_time const change(changes, refusal);
    if (current_phase() > phase::records) {
        throw std::runtime_error(refusal);
    }
    if (current_phase() == phase::none) {
        throw std::invalid_argument(nothing_recorded);
    }
    answer_signals(0);
    over = stop_recording();
    recorded_by = getpid();
    state = phase::is_over;
}

void write_ended(summary told) {
    phase expected = phase::is_over;
    if (current_phase() != expected ||
        !state.compare_exchange_strong(expected, phase::is_written)) {
        return;
    }
    while (writes == getpid()) {  // a snapshot: it needs nothing from the thread that waits here
        std::this_thread::sleep_for(a_moment);
    }
    try {
        if (!over.empty()) {
            write(over, output_of(over), told);
            unlink(over.c_str());
        }
    } catch (...) {
        state = phase::none;
        throw;
    }
    state = phase::none;
}

void stop(summary told) {
    end();
    write_ended(told);
}

void snapshot(std::string_view output) {
    check_output(output);
    write_snapshot([output](std::string const& /*recording*/) { return std::string(output); });
}

void finish() noexcept {
    try {
        if (current_phase() == phase::records) {
            end();
        }
        write_ended(at_exit);
    } catch (std::exception const& failure) {
        say(std::string(failure.what()) + "\n");
    }
    while (current_phase() == phase::is_written) {  // by a thread that would end with the process
        std::this_thread::sleep_for(a_moment);
    }
}

void write(std::string const& recording, std::string const& output) {
    check_output(output);
    write(recording, output, summary::on_stderr);
}

}  // namespace handoff::giltrace
