// gilcheck: reports a call into Python's C API without the GIL, when the call is made.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace handoff::gilcheck {

/// What happens after a report.
enum class reaction {
    abort,  // SIGABRT: a debugger stops at the call, a shell says 134
    warn,   // the call; each place is reported once, and the process exits with `exit_code`
    once,   // the call, and no other report; exits with `exit_code`
};

struct settings {
    reaction then = reaction::warn;  // the program continues
    bool json = false;       // a report is one line of JSON
    bool calls = true;       // calls into Python without the GIL are checked
    bool deadlocks = false;  // the orders in which the GIL and locks are taken are checked
    bool python_locks = false;  // with deadlocks: threading.Lock and RLock, too
    std::chrono::nanoseconds budget{0};  // a hold of the GIL that lasts longer is reported; 0: none
    // Files; empty: none. A relative path is relative to the current folder.
    std::string statistics{};  // for the statistics of the GIL when the process ends
    std::string log{};  // reports are appended to it, and not written to stderr
    // With log: if the process that starts this dies of a fault, the log is written to stderr and
    // removed, and so is its folder if that is empty then. Nobody else would read it.
    bool temporary_log = false;
    // With log, deadlocks that happen are appended to it as well, as text: a process that hangs may
    // never get to reading its log. If it cannot be opened, they are in the log alone.
    std::string deadlock_log{};
    std::string suppressions{};  // what is not reported; docs/gilcheck.md has its form
    std::string baseline{};  // findings that are not reported, written by ...
    std::string write_baseline{};  // this file: findings are appended to it, and not reported
};

/// The exit code after reports, if it would have been 0; ThreadSanitizer uses the same.
inline constexpr int exit_code = 66;

/// From words with commas between: "abort", "warn" or "once" (default: warn); "json";
/// "deadlocks", with or without "python-locks"; "budget=TIME", in us, ms or s;
/// "statistics=FILE", whose name ends in .txt, .json or .prom; "no-calls" together with one of
/// these three; "log=FILE", with or without "temporary-log"; "deadlock-log=FILE",
/// "suppressions=FILE", "baseline=FILE" or "write-baseline=FILE". Throws: std::invalid_argument,
/// with the text and the accepted words.
[[nodiscard]] settings settings_from(std::string_view text);

/// From now on, and for as long as the process lives, checks each call that a loaded object makes
/// into the interpreter through its procedure linkage table: the calls of extension modules and of
/// their libraries, loaded before or later. Not checked are functions that may be called without
/// the GIL, code that the compiler has inlined, and a program's calls into a libpython that is
/// linked into it.
///
/// A report, on stderr or in a file, says which function was called, on which thread, which thread
/// holds the GIL, where in C++, and what to do about it.
///
/// If another copy of this code already checks (the host's, together with the Python package's),
/// that copy continues, and this changes nothing.
///
/// GIL:     held; or Python is not initialized yet.
/// Threads: any, one at a time.
/// Throws:  std::runtime_error: the text says why this Python cannot be checked, or that
///          another thread is starting it; std::invalid_argument: a file of the settings
///          cannot be read or written, or contains something unknown.
void start(settings const& how);

/// The statistics of the GIL so far, as one JSON object: takes, contended (takes that
/// waited), held, longest_hold, waited, longest_wait, in seconds; and threads and functions, lists
/// of the same with a name each. Empty: no statistics were requested. GIL: held. Threads: any.
[[nodiscard]] std::string statistics();

/// Waits until reports that are being made are written, also those of other threads, including
/// gilcheck's own. GIL: any; not touched, and better released. Threads: any.
void flush();

/// What the end of the process does, earlier: flush(), and the statistics are written. For a Python
/// that ends by a signal, as after Ctrl-C. GIL: any; not touched. Threads: any.
void finish();

/// Like start(), as soon as an interpreter is loaded, which may never happen: for a library that is
/// preloaded into any program.
void start_with_python(settings const& how);

}  // namespace handoff::gilcheck
