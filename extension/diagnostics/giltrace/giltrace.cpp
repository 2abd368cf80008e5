// giltrace: a recording's begin and its end.
#include "gil_recording.hpp"
#include "one_at_a_time.hpp"
#include "running_python.hpp"
#include "standard_error.hpp"
#include "timeline.hpp"
#include "timeline_output.hpp"
#include <handoff/giltrace.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <system_error>
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

/// Of trace.html.recording, trace.PROCESS.html.recording. What an earlier process of that number
/// has written is removed. Throws: std::system_error.
std::string path_in_child(std::string const& recording, pid_t process) {
    std::string path = recording;
    auto const ending = path.rfind('.', path.size() - recording_ending.size() - 1);
    path.insert(ending, std::string(".").append(std::to_string(process)));
    make_sure_of(output_of(path));
    remove_earlier(output_of(path));
    return path;
}

bool is_recording = false;

/// A recording begins or ends: that lets go of the GIL, and another thread would find a recording
/// that is half there.
constinit one_at_a_time::process changes{0};
constexpr auto refusal =
    "another thread begins or ends a recording of the GIL just now: one at a time";

/// REQUIRES: a change.
void tie_to_the_process() {
    static constinit bool is_tied = false;
    if (!std::exchange(is_tied, true)) {
        on_exit([](int, void*) { finish(); }, nullptr);
    }
}

/// Gives the system the names of threads that begin from now on, as Python does from 3.14 on.
/// GIL: held.
void name_threads(running_python const& python) {
    static constexpr auto code = R"(exec("""
import contextlib, threading
def name(thread, set_native_id=threading.Thread._set_native_id):
    set_native_id(thread)
    text = thread.name.encode()[:15].decode(errors="ignore")
    with contextlib.suppress(OSError), open(f"/proc/self/task/{thread.native_id}/comm", "w") as to:
        to.write(text)
threading.Thread._set_native_id = name
""", {}))";
    if (python.version < 0x030E0000 && python.is_initialized() != 0) {
        int (*run)(char const*, void*) = nullptr;
        python.look_up(run, "PyRun_SimpleStringFlags");
        static constinit bool done = false;  // guarded by the GIL
        if (!std::exchange(done, true)) {
            run(code, nullptr);
        }
    }
}

running_python const& this_python() {
    std::string why = "there is none in this process, or its symbols are hidden";
    try {
        if (auto const* const found = running_python::find()) {
            found->keep_loaded();
            return *found;
        }
    } catch (std::runtime_error const& wrong) {
        why = wrong.what();
    }
    throw std::runtime_error("giltrace cannot record this Python: " + why);
}

/// Where its reader has gone, the program is not to end by SIGPIPE for our sake.
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

void write(std::string const& recording, std::string const& output, summary told) {
    timeline const read = timeline::read(recording);
    detail::write(read, output);
    if (told == summary::on_stderr) {
        std::string const text = summary_of(read) + "written to " + output + "\n";
        std::fflush(stdout);
        say(text);
    }
}

}  // namespace

void start(std::string_view wanted) {
    static_cast<void>(format_of(wanted));
    one_at_a_time const change(changes, refusal);
    if (is_recording) {
        throw std::invalid_argument("there is a recording of the GIL already: one at a time");
    }
    running_python const& python = this_python();
    std::string const output = std::filesystem::absolute(wanted);  // whatever chdir() comes
    make_sure_of(output);
    try {
        start_recording(python, recording_of(output), &path_in_child);
    } catch (std::system_error const&) {
        throw;
    } catch (std::runtime_error const& wrong) {
        throw std::runtime_error(std::string("giltrace cannot record this Python: ") +
                                 wrong.what());
    }
    try {
        remove_earlier(output);
    } catch (...) {
        unlink(stop_recording().c_str());
        throw;
    }
    is_recording = true;
    name_threads(python);
    tie_to_the_process();
}

void stop(summary told) {
    one_at_a_time const change(changes, refusal);
    if (!is_recording) {
        throw std::invalid_argument("there is no recording of the GIL");
    }
    is_recording = false;
    std::string const recording = stop_recording();
    if (!recording.empty()) {
        write(recording, output_of(recording), told);
        unlink(recording.c_str());
    }
}

void finish() noexcept {
    if (!is_recording) {
        return;
    }
    try {
        stop();
    } catch (std::exception const& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
    }
}

void write(std::string const& recording, std::string const& output) {
    static_cast<void>(format_of(output));
    write(recording, output, summary::on_stderr);
}

}  // namespace handoff::giltrace
