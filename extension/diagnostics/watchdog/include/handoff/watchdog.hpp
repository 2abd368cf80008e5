// watchdog: reports on stderr who waits too long for the GIL, and who holds it.
#pragma once

#include <handoff/gil/python.hpp>

#include <chrono>
#include <optional>

namespace handoff::watchdog {

using seconds = std::chrono::duration<double>;

/// What the user asked for: `-X handoff-watchdog=SECONDS`, else the environment variable
/// HANDOFF_WATCHDOG, which -E and -I (an isolated configuration) ignore, as they do PYTHON*.
///
/// GIL:    held.
/// Throws: std::invalid_argument, which names the option and the value, unless that is a positive,
///         finite number of seconds; std::runtime_error: Python cannot say what it was.
[[nodiscard]] std::optional<seconds> asked_for();

/// What HANDOFF_WATCHDOG asks for. Needs no Python. Throws: as asked_for().
[[nodiscard]] std::optional<seconds> asked_for_by_environment();

/// The patience as start() takes it. Needs no Python.
/// Throws: std::invalid_argument unless it is a positive, finite number of seconds.
[[nodiscard]] seconds checked(seconds patience);

/// Watches from now on. When a thread has waited longer than `patience` for the GIL, a report says
/// on stderr where every Python thread is, and who waits and who holds, with their C++ stacks; then
/// the program goes on. As long as somebody is stuck, another report follows whenever the time
/// doubles.
///
/// Waits of Handoff's guards are known exactly. A thread of the watchdog's own asks for the GIL at
/// least once a second, so that a GIL that is stuck is noticed, whoever waits for it.
///
/// It ends with the `atexit` functions, after those that are registered later. In the child of an
/// os.fork() it watches again; in one that C code forked, it does not.
///
/// A report interrupts every thread, by a signal, to have its stack: a call that waits may return
/// early with EINTR. A thread that blocks the signal is named without a stack.
///
/// GIL:      held.
/// Throws:   std::invalid_argument when `patience` is no positive, finite number;
///           std::system_error when no thread can be made; std::runtime_error when no signal is
///           free, or Python cannot do its part; the Python error is in its text.
/// REQUIRES: not watching; a stderr.
void start(seconds patience);

/// Watches no more. Idempotent. GIL: held; released meanwhile.
void stop();

}  // namespace handoff::watchdog
