// gilcheck: names the call into Python's C API that is made without the GIL, when it is made.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace handoff::gilcheck {

/// What a report is followed by.
enum class reaction {
    abort,  // SIGABRT: a debugger stops at the call, a shell says 134
    warn,   // the call; each place is reported once, and the process exits with `exit_code`
    once,   // the call, and no other report; exits with `exit_code`
};

struct settings {
    reaction then = reaction::warn;  // the program does what it would have done
    bool json = false;       // a report is one line of JSON
    bool calls = true;       // calls into Python without the GIL are checked
    bool deadlocks = false;  // the orders are watched in which the GIL and locks are taken
    bool python_locks = false;  // beside deadlocks: threading.Lock and RLock, too
    std::chrono::nanoseconds budget{0};  // a hold of the GIL that lasts longer is reported; 0: none
    // Files; empty: none. Those of a folder that is not named are in the current one.
    std::string statistics{};  // for the figures of the GIL as the process ends
    std::string log{};  // reports are appended to it, and not written to stderr
    std::string suppressions{};  // what is not reported; docs/gilcheck.md has its form
    std::string baseline{};  // the same, of findings that were written by ...
    std::string write_baseline{};  // this: findings are appended to it, and not reported
};

/// What a process that would have ended with 0 exits with after reports, as ThreadSanitizer's does.
inline constexpr int exit_code = 66;

/// From words with commas between: "abort", "warn" or "once", warn unless given; "json";
/// "deadlocks", with "python-locks" beside it or without; "budget=TIME", in us, ms or s;
/// "statistics=FILE", whose name ends in .txt, .json or .prom; and "no-calls" beside one of these
/// three; "log=FILE", "suppressions=FILE", "baseline=FILE" or "write-baseline=FILE". Throws:
/// std::invalid_argument, with the text and what may be said instead.
[[nodiscard]] settings settings_from(std::string_view text);

/// Checks, from now on and for as long as the process lives, each call that a loaded object makes
/// into the interpreter through its procedure linkage table: those of extension modules and of
/// their libraries, loaded before or later. A function that may be called without the GIL is not
/// checked, nor is what the compiler has inlined, nor a program's call into a libpython that is
/// linked into it.
///
/// A report, on stderr or in a file, says which function, on what thread, who holds the GIL, where
/// in C++, and what to do about it.
///
/// Where another copy of this code checks already (the host's, beside the Python package's), that
/// goes on, and this changes nothing.
///
/// GIL:     held; or Python is not initialized yet.
/// Threads: any, one at a time.
/// Throws:  std::runtime_error: the sentence says why this Python cannot be checked, or that
///          another thread starts it just now; std::invalid_argument: a file of the settings
///          cannot be read or written, or says what is not understood.
void start(settings const& how);

/// The figures of the GIL since they are taken, as one JSON object: takes, contended (takes that
/// waited), held, longest_hold, waited, longest_wait, in seconds; and threads and functions, lists
/// of the same with a name each. Empty: none are taken. GIL: held. Threads: any.
[[nodiscard]] std::string statistics();

/// Waits until the reports that are being made are written: by other threads, one of the checker's
/// own among them. GIL: any; not touched, and better released. Threads: any.
void flush();

/// The same, as soon as an interpreter is loaded, which may be never: for a library that is
/// preloaded into any program.
void start_with_python(settings const& how);

}  // namespace handoff::gilcheck
