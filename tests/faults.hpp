// faults: memory and threads that cannot be had, and a clock that jumps, where a test says so.
#pragma once

/// Whose memory: what is asked of Python's allocators (raw, memory, object), or of operator new.
enum class memory { of_python, of_cpp };

/// On which threads: the one that makes the guard, or all others.
enum class on { this_thread, other_threads };

/// Memory is short while this guard lives: `count` allocations fail, from the first-th on.
/// REQUIRES: one guard at a time.
class failing_allocations {
public:
    failing_allocations(memory whose, on where, int first, int count);
    ~failing_allocations();

    failing_allocations(failing_allocations const&) = delete;
    failing_allocations& operator=(failing_allocations const&) = delete;

    /// Whether an allocation has failed.
    [[nodiscard]] bool happened() const noexcept;

    /// Puts ours before Python's own allocators, for the rest of the process; else only operator
    /// new fails. GIL: held.
    static void watch_python();
};

/// No native thread can be made while `refused`: a stack of the default size finds no room.
void refuse_threads(bool refused);

/// Every look at the system's clock finds it an hour on or back, while it `jumps`; the monotonic
/// clock is as ever.
void let_system_clock_jump(bool jumps);
