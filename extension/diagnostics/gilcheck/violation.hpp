// violation: a call into Python without the GIL, described in words with all that is known.
#pragma once

#include "call_frames.hpp"
#include "finding_rules.hpp"
#include "gil_events.hpp"
#include "loaded_objects.hpp"

#include <cstddef>
#include <string>
#include <sys/types.h>
#include <vector>

namespace handoff::detail {

/// A thread, as the system and Python name it.
struct named_thread {
    pid_t id = 0;
    pthread_t handle{};
    std::string name;  // as `top -H` and gdb show it
    bool ended = false;
};

struct violation {
    /// The thread's relation to the GIL.
    enum class because {
        never_acquired,  // it never held it
        released,        // it held it, and released it
        finalized,       // Python is finalized, or has begun to be
    };
    std::string function;
    because why{};
    named_thread thread;
    bool known_to_python = false;
    bool by_who_ended_python = false;
    named_thread holder;         // id 0: no thread
    std::string holders_python;  // its Python stack, as faulthandler writes it; empty: unknown
    std::vector<call_frame> stack;   // the innermost first
    std::size_t left_out = 0;        // frames further out; see walk_stack()
    std::vector<call_frame> released_at;  // one, or none; why == released

    /// What is known about a call by this thread that returns to that address.
    static violation here(char const* function, void const* return_address, bool python_is_alive);

    /// What identifies it.
    [[nodiscard]] finding_facts facts() const;
    /// Several lines; with colours where they are shown.
    [[nodiscard]] std::string text() const;
    /// One line. Keys: tool, function, at, because, thread, holder, stack, left_out, released_at,
    /// what_to_do.
    [[nodiscard]] std::string json() const;
    /// The function of the user's code that made the call; empty if none is on the stack.
    [[nodiscard]] std::string where() const;
    /// What to do about it.
    [[nodiscard]] std::string advice() const;
};

/// Prepares for describing them. Call it before the first.
void prepare_violations(loaded_object const& interpreter);

/// Called when a thread takes the GIL: distinguishes one that released it from one that never had
/// it.
void note_held() noexcept;

}  // namespace handoff::detail
