// giltrace: records who holds the GIL and who waits for it, and draws it.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace handoff::giltrace {

/// What cost most, in one line: the function that held the GIL longest while others waited, and who
/// waited. Of each thread how often it took the GIL, how long it held it and waited for it; and the
/// longest waits with who caused them.
enum class summary { on_stderr, none };

/// What a recording has beside the GIL's events.
struct options {
    /// Of a thread that holds the GIL for longer, in seconds, while another waits for it, the C++
    /// stack is taken, and the hold is labelled with the user's function. Zero: never.
    std::chrono::duration<double> stack_after{0.01};
    /// Keep the last seconds only: what is older is overwritten. Zero: keep all.
    std::chrono::duration<double> last{0};
    /// When a thread has waited for the GIL for longer, in seconds, or still waits after ten times
    /// as long, write what is kept into a file
    /// of its own, as snapshot() does, and go on: of trace.html, trace.snapshot1.html, and so on.
    /// Once in `last` seconds at most, and ten times in all. Zero: never.
    std::chrono::duration<double> when_wait_exceeds{0};
    /// The same when the process gets this signal. Zero: none.
    int signal = 0;
    /// Where the end of the process ends it; stop() is told itself.
    summary at_exit = summary::on_stderr;
};

/// The output and the options of "trace.html,stack-after=0.05": the output, and after a comma each
/// NAME=NUMBER, with the names of `options` and a hyphen for an underscore.
/// Throws: std::invalid_argument, with the text.
struct settings {
    std::string output;
    options how;
};
[[nodiscard]] settings settings_from(std::string_view text);

/// Records from now on, every take, drop and wait of every thread, native or Python's, until stop()
/// or the end of the process. It is recorded into the file `output` + ".recording", which stays
/// readable for write() if the process is killed, and is removed when the output is there. A child
/// of fork() has files of its own: of trace.html, trace.PROCESS.html. What an earlier run has
/// written is removed as the recording begins, so that nobody takes it for this run's; a file of
/// that name that giltrace did not write is refused, and left as it is.
///
/// output:  ends with .json (Chrome's Trace Event Format), .html or .svg. It is there when it is
///          whole.
/// GIL:     held.
/// Threads: one recording at a time.
/// Throws:  std::invalid_argument: the ending, an option, a file that is another's or a pipe, or
///          there is a recording already; std::system_error: a file cannot be written;
///          std::runtime_error: the sentence says why this Python's GIL cannot be recorded, or that
///          another thread starts or stops just now.
void start(std::string_view output, options const& wanted = {});

/// Ends the recording, and writes the output and the summary.
///
/// GIL:     held, or Python is gone. Keeps it.
/// Throws:  std::invalid_argument: there is no recording; std::runtime_error: the output cannot be
///          written, and the recording is kept, or another thread starts or stops just now.
void stop(summary told = summary::on_stderr);

/// stop() in two parts: the recording ends, and is written then, while others may hold the GIL.
/// Nothing is begun between the two. The end of the process does the second, if nobody has.
///
/// GIL:     of end(): as of stop(); of write_ended(): any, unchanged.
/// Throws:  as stop().
void end();
void write_ended(summary told = summary::on_stderr);

/// Writes what has been recorded until now, or the last seconds of it, and goes on recording.
///
/// output:  as of start().
/// GIL:     any, unchanged; better not held, as it may take seconds.
/// Threads: one at a time.
/// Throws:  std::invalid_argument: the ending, a file that is another's or a pipe, or there is no
///          recording; std::system_error: the output cannot be written; std::runtime_error: another
///          snapshot is written just now.
void snapshot(std::string_view output);

/// stop(), if there is a recording, as the end of a process does by itself; what fails is said on
/// stderr. For a program that ends by _exit(). GIL: held, or Python is gone.
void finish() noexcept;

/// Writes the output, and the summary, of a recording that was left by a process that was killed.
/// Throws:  as start() and stop(); std::runtime_error: it is no recording.
void write(std::string const& recording, std::string const& output);

}  // namespace handoff::giltrace
