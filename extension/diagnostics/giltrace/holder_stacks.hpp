// holder_stacks: where in native code a thread is that holds the GIL for long, seen by another.
//
// A thread begins with the first stack that is wanted, or other work. It asks the holder by a
// signal, unless the holder is in a system call that a signal would end early: then its stack is
// read while it sleeps, or, where that is not possible, the holder notes its own as it drops the
// GIL. Which functions these are is found out where the recording is read.
#pragma once

#include "call_frames.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace handoff::detail::holder_stacks {

/// Where a holder was.
struct sighting {
    std::uint64_t when = 0;            // ticks
    std::vector<code_place> places{};  // the innermost first, no further out than Python's own
    std::string unknown{};             // why there are none; empty: there are
};

/// Once, before the others. GIL: held.
void prepare();

/// Begins the thread, for work that a signal wants. GIL: any, unchanged.
void begin() noexcept;

/// Ends the thread, if it has begun; waits for it a moment. What it saw can be taken after that.
/// GIL: any, unchanged.
void finish() noexcept;

// At the GIL's events, with CPython's own lock of the GIL held.

/// Another hold begins: what was wanted of the one before is not.
void next_hold() noexcept;

/// The holder has held the GIL for long: where is it? It is not waited for.
void look_at(pid_t holder) noexcept;

/// Whether there is something to do: note_own_stack(), seen(), or what want() wants.
[[nodiscard]] bool are_waiting() noexcept;

/// The calling thread drops the GIL, and notes its stack if the watching thread could not.
void note_own_stack() noexcept;

/// What was seen since the last call. Begins the thread for what is wanted of it.
[[nodiscard]] std::vector<std::unique_ptr<sighting>> seen();

// Anywhere, and in a signal's handler, too.

/// Has the thread call `work` soon; where it has not begun, with one of the next events.
void want(void (*work)()) noexcept;

}  // namespace handoff::detail::holder_stacks
