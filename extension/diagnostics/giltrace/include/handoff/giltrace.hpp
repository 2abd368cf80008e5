// giltrace: records who holds the GIL and who waits for it, and draws it.
#pragma once

#include <string>
#include <string_view>

namespace handoff::giltrace {

/// Records from now on, every take, drop and wait of every thread, native or Python's, until stop()
/// or the end of the process. It is recorded into the file `output` + ".recording", which stays
/// readable for write() if the process is killed, and is removed when the output is there. A child
/// of fork() has files of its own: of trace.html, trace.PROCESS.html. What an earlier run has
/// written is removed as the recording begins, so that nobody takes it for this run's; a file of
/// that name that giltrace did not write is refused, and left as it is.
///
/// output:  ends with .json (Chrome's Trace Event Format), .html or .svg.
/// GIL:     held.
/// Threads: one recording at a time.
/// Throws:  std::invalid_argument: the ending, or there is a recording already; std::system_error:
///          a file cannot be written, or is another's; std::runtime_error: the sentence says why
///          this Python's GIL cannot be recorded, or that another thread starts or stops just now.
void start(std::string_view output);

/// Of each thread how often it took the GIL, how long it held it and waited for it; and the longest
/// waits with who caused them.
enum class summary { on_stderr, none };

/// Ends the recording, and writes the output and the summary.
///
/// GIL:     held, or Python is gone. Keeps it.
/// Throws:  std::invalid_argument: there is no recording; std::system_error: the output cannot be
///          written, and the recording is kept; std::runtime_error: another thread starts or stops
///          just now.
void stop(summary told = summary::on_stderr);

/// stop(), if there is a recording, as the end of a process does by itself; what fails is said on
/// stderr. For a program that ends by _exit(). GIL: held, or Python is gone.
void finish() noexcept;

/// Writes the output, and the summary, of a recording that was left by a process that was killed.
/// Throws:  as start() and stop(); std::runtime_error: it is no recording.
void write(std::string const& recording, std::string const& output);

}  // namespace handoff::giltrace
