// diagnosis: explains from all threads' stacks which thread keeps which other thread waiting.
#pragma once

#include "call_frames.hpp"
#include "uninterrupted_wait.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace handoff::detail {

/// What is seen of a thread at one moment.
struct thread_seen {
    pid_t id = 0;
    std::string name;  // as `top -H` and gdb show it; empty: it has none of its own
    bool another_has_its_name = false;  // of those that are seen; diagnosis() sets it
    std::string silent;  // why its stack is not known; empty: it is
    std::optional<uninterrupted_wait> spared{};  // then: what it is known to be in
    bool is_main = false;
    bool holds_gil = false;  // without a GIL: is attached, and does not wait for others to detach
    std::optional<std::chrono::duration<double>> waits{};  // for the GIL; zero: unknown how long
    bool stops_the_others = false;  // without a GIL: waits until they are detached
    std::vector<call_frame> frames{};  // the innermost first
    std::size_t left_out = 0;  // frames further out
    std::string python{};  // as faulthandler writes it
    bool is_unchanged = false;  // both stacks, since the last report
    pid_t mutex_owner = 0;  // of the mutex that it waits for, if it is one; 0: not known

    [[nodiscard]] bool waits_for_gil() const noexcept { return waits.has_value(); }
};

/// What a thread is in.
enum class activity {
    works,
    does_not_answer,
    joins_a_thread,
    locks_a_mutex,
    waits_for_a_condition,
    waits_for_a_static_initialiser,
    waits_for_a_semaphore,
    waits_for_another_thread,
    sleeps,
    waits_for_input_or_output,
    waits_for_a_process,
    waits_for_a_signal,
    waits_for_the_gil,
    waits_for_a_lock_of_python,
    waits_for_an_import,
    joins_a_thread_of_python,
    collects_garbage,
    stops_the_interpreter,
    asks_for_a_report,
};

[[nodiscard]] activity activity_of(thread_seen const& thread);

/// "std::thread::join(), called by Pool::~Pool() at pool.cpp:31", "f() at script.py:12".
[[nodiscard]] std::string place_of(thread_seen const& thread);

/// Why a process ended, as its core says.
struct crash {
    pid_t thread = 0;  // which got the signal
    std::string signal;  // "SIGSEGV"
    std::string address;  // that could not be read or written; empty: no memory access failed
    std::optional<pid_t> sender{};  // the other process that sent it; 0: one that is not seen
};

/// How long the reported state has lasted; zero if gilwatch did not watch.
struct times_seen {
    std::chrono::duration<double> so_long{0};  // the longest wait, or hold
    std::chrono::duration<double> held{0};  // the GIL, by its current holder
    pid_t held_by = 0;  // its holder as the report was begun; 0: not known
    bool holder_has_ended = false;
    // The time in the longest wait for which the GIL was held for long at a time, by any threads.
    std::chrono::duration<double> held_long{0};
    bool python_ends = false;  // no other thread gets the GIL any more
    bool is_free_threaded = false;  // threads wait only while one stops the others
};

/// The first line is the answer, without a name before it; the second, if any, says what to do;
/// then come the stacks. died: the crash that left a core; null: none did, or the process went on.
[[nodiscard]] std::string diagnosis(std::vector<thread_seen> threads, times_seen const& times,
                                    crash const* died = nullptr);

}  // namespace handoff::detail
