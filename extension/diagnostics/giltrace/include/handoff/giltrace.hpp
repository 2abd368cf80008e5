// giltrace: records which threads hold the GIL and wait for it, and draws the recording.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace handoff::giltrace {

/// What cost most, in one line: the function that held the GIL longest while others waited, and the
/// threads that waited. For each thread how often it took the GIL, and how long it held it and
/// waited for it; and the longest waits with their causes.
enum class summary { on_stderr, none };

/// What a recording contains besides the GIL's events.
struct options {
    /// If a thread holds the GIL for longer, in seconds, while another waits for it, its C++
    /// stack is taken, and the hold is labelled with the user's function. Zero: never.
    std::chrono::duration<double> stack_after{0.01};
    /// Keep only the last seconds: older events are overwritten. Zero: keep all.
    std::chrono::duration<double> last{0};
    /// When a thread has waited for the GIL for longer, in seconds, or still waits after ten times
    /// as long, write what is kept into a separate file, as snapshot() does, and continue: for
    /// trace.html, trace.snapshot1.html, and so on.
    /// Once in `last` seconds at most, and ten times in all. Zero: never.
    std::chrono::duration<double> when_wait_exceeds{0};
    /// The same when the process gets this signal. Zero: none.
    int signal = 0;
    /// Used if the end of the process ends the recording; stop() has its own argument.
    summary at_exit = summary::on_stderr;
};

/// The output and the options in a text such as "trace.html,stack-after=0.05": the output, and
/// after a comma each NAME=NUMBER, with the names of `options` and a hyphen for an underscore.
/// Throws: std::invalid_argument, with the text.
struct settings {
    std::string output;
    options how;
};
[[nodiscard]] settings settings_from(std::string_view text);

/// From now on records every take, drop and wait of every thread, native or Python's, until stop()
/// or the end of the process. The events are in the file `output` + ".recording", which stays
/// readable for write() if the process is killed, and is removed when the output is complete. A
/// child of fork() has its own files: for trace.html, trace.PROCESS.html. What an earlier run has
/// written is removed when the recording begins, so that nobody takes it for this run's. A file of
/// that name that giltrace did not write is refused, and not changed.
///
/// output:  ends with .json (Chrome's Trace Event Format), .html or .svg. It appears when it is
///          complete.
/// GIL:     held.
/// Threads: one recording at a time.
/// Throws:  std::invalid_argument: the ending, an option, a pipe or a file that giltrace did not
///          write, or there already is a recording; std::system_error: a file cannot be written;
///          std::runtime_error: the text says why this Python's GIL cannot be recorded, or that
///          another thread is starting or stopping a recording.
void start(std::string_view output, options const& wanted = {});

/// Ends the recording, and writes the output and the summary.
///
/// GIL:     held, or Python has ended. Keeps it.
/// Throws:  std::invalid_argument: there is no recording; std::runtime_error: the output cannot be
///          written, and the recording is kept, or another thread is starting or stopping one.
void stop(summary told = summary::on_stderr);

/// stop() in two parts: the recording ends, and then it is written, while others may hold the GIL.
/// Between the two, no recording can be started. If nobody calls the second, the end of the process
/// does.
///
/// GIL:     for end(): as for stop(); for write_ended(): any, unchanged.
/// Throws:  as stop().
void end();
void write_ended(summary told = summary::on_stderr);

/// Writes what has been recorded until now, or the last seconds of it, and continues to record.
///
/// output:  as for start().
/// GIL:     any, unchanged; better not held, because this may take seconds.
/// Threads: one at a time.
/// Throws:  std::invalid_argument: the ending, a pipe or a file that giltrace did not write, or
///          there is no recording; std::system_error: the output cannot be written;
///          std::runtime_error: another snapshot is being written.
void snapshot(std::string_view output);

/// stop(), if there is a recording, as the end of a process does by itself; failures are reported
/// on stderr. For a program that ends by _exit(). GIL: held, or Python has ended.
void finish() noexcept;

/// Writes the output, and the summary, of the recording of a process that was killed.
/// Throws:  as start() and stop(); std::runtime_error: it is not a recording.
void write(std::string const& recording, std::string const& output);

}  // namespace handoff::giltrace
