// holder_stacks: where a thread that holds the GIL for long is in native code, seen by another one.
//
// A thread starts when the first stack, or other work, is requested; for the work it starts another
// one. It asks the holder with a
// signal. If the holder is in a system call that a signal would end early, its stack is read while
// it sleeps. If that is not possible, the holder records its own stack when it drops the GIL. The
// functions are looked up when the recording is read.
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
    std::uint64_t when = 0;  // ticks
    std::vector<code_place> places{};  // the innermost first, no further out than Python's own
    std::string unknown{};  // why there are none; empty: there are
};

/// Once, before the others. GIL: held.
void prepare();

/// Begins the thread, for work that a signal requests. GIL: any, unchanged.
void begin() noexcept;

/// Ends the thread, if it has begun, and waits a moment for that. What it saw can be taken then.
/// GIL: any, unchanged.
void finish() noexcept;

// At the GIL's events, with CPython's own lock of the GIL held.

/// Another hold begins: what was wanted of the last one is dropped.
void next_hold() noexcept;

/// The holder has held the GIL for long: asks where it is, without waiting for the answer.
void look_at(pid_t holder) noexcept;

/// Whether there is something to do: note_own_stack(), seen(), or what want() wants.
[[nodiscard]] bool are_waiting() noexcept;

/// The calling thread drops the GIL, and notes its stack if the watching thread could not.
void note_own_stack() noexcept;

/// What was seen since the last call. Begins the thread if something is wanted of it.
[[nodiscard]] std::vector<std::unique_ptr<sighting>> seen();

// Anywhere, and in a signal's handler, too.

/// Requests that a thread calls `work` soon; if none has started, it starts with a later event. One
/// is called at a time; one that waits is replaced by a later one.
void want(void (*work)()) noexcept;

}  // namespace handoff::detail::holder_stacks
