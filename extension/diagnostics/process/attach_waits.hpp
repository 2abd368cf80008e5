// attach_waits: which threads of a free-threaded Python wait for others, and which are attached.
//
// Without a GIL a thread waits for another one's release of Python only while a thread "stops the
// world": for a garbage collection, a fork() or a change of a type. That thread waits until every
// other one is detached; those that want to attach wait until the world goes on.
#pragma once

#include "running_python.hpp"

#include <cstdint>
#include <sys/types.h>
#include <vector>

namespace handoff::detail {

enum class attach_wait : std::uint8_t {
    until_the_others_detach,  // of the thread that stops the world
    to_attach,
};

/// The functions to call, on the thread concerned, which may hold any of CPython's own locks.
struct attach_listener {
    void (*waits)(attach_wait what) noexcept;
    /// It got what it waited for; or, if it stops the world, it may look again: then it waits anew
    /// within a few milliseconds.
    void (*has_waited)(attach_wait what, bool in_vain) noexcept;
};

/// Calls the listener from now on. CPython waits by semaphores, and makes these calls through the
/// global offset table of the object that contains it. A thread that waits for anything else is
/// detached first, so that it has no current thread state; a thread that stops the world waits a
/// millisecond at a time.
///
/// listener: lives forever.
/// Threads:  one at a time, once.
/// Throws:   std::runtime_error: the calls cannot be redirected, or this Python is too new.
/// Source:   stop_the_world() and tstate_wait_attach() in CPython's Python/pystate.c;
///           _PySemaphore_Wait() in its Python/parking_lot.c.
void listen_to_attach_waits(running_python const& python, attach_listener const& listener);

/// The threads that are attached now, those that wait for others to detach included; as their ids
/// in the system. REQUIRES: listen_to_attach_waits() has been called. Threads: any. GIL: any; not
/// touched.
[[nodiscard]] std::vector<pid_t> attached_threads();

}  // namespace handoff::detail
