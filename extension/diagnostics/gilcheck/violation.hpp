// violation: a call into Python without the GIL, with all that is known of it, in words.
#pragma once

#include "gil_events.hpp"
#include "loaded_objects.hpp"

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
    /// How the thread stands with the GIL.
    enum class because {
        never_acquired,  // it never held it
        released,        // it held it, and released it
        finalized,       // Python is finalized, or has begun to be
    };
    /// Where in C++.
    struct frame {
        std::string function;  // demangled; empty: unknown
        std::string source;    // file:line; empty: there is no debug information
        std::string file;
        std::uintptr_t offset = 0;  // in the file
    };

    std::string function;
    because why{};
    named_thread thread;
    bool known_to_python = false;
    bool by_who_ended_python = false;
    named_thread holder;         // its id is 0: nobody
    std::string holders_python;  // its Python stack, as faulthandler writes it; empty: unknown
    std::vector<frame> stack;    // the innermost first
    std::vector<frame> released_at;  // one, or none; why == released

    /// What is known of a call by this thread, that returns there.
    static violation here(char const* function, void const* return_address, bool python_is_alive);

    /// Several lines; with colours where stderr is a terminal that shows them.
    [[nodiscard]] std::string text() const;
    /// One line. Keys: tool, function, because, thread, holder, stack, released_at, what_to_do.
    [[nodiscard]] std::string json() const;
    /// What to do about it.
    [[nodiscard]] std::string advice() const;
};

/// Gets ready to describe them. Before the first.
void prepare_violations(loaded_object const& interpreter);

/// The holder's Python stack comes from faulthandler, and that it is to come wants the GIL.
/// held:     whether the calling thread holds it; otherwise it happens soon, in the main thread.
/// REQUIRES: Python is initialized.
void ask_for_python_stacks(bool held);

/// Tells a thread that released the GIL from one that never had it: called when it takes it.
void note_take() noexcept;

}  // namespace handoff::detail
