// thread_stacks: asks every thread of the process where it is, and whether it holds the GIL.
#pragma once

#include "uninterrupted_wait.hpp"

#include <csignal>
#include <cstddef>
#include <optional>
#include <pthread.h>
#include <string>
#include <sys/types.h>
#include <vector>

namespace handoff {

/// What a thread answered, or why it did not.
struct thread_stack {
    pid_t id = 0;
    std::string name;             // as `top -H` and gdb show it
    std::string silent;           // why it did not answer; empty if it did
    bool blocks = false;          // the signal, which is why it did not
    std::optional<detail::uninterrupted_wait> spared{};  // what it is in, and so was not asked
    pthread_t handle{};           // this and what follows: of one that answered
    bool holds_gil = false;
    std::vector<void*> frames{};  // the innermost first
    std::size_t left_out = 0;     // frames further out; see walk_stack()
};

/// A signal that no other code uses, for as long as this lives. A thread that gets it records its
/// own stack, in the signal's handler, and continues; a call that waits may return early, with
/// EINTR, as for any other signal: see uninterrupted_wait.hpp.
///
/// GIL:     not needed; unchanged.
/// Source:  walk_stack(), as backtrace(3): async-signal-safe once libgcc has been loaded, since
///          glibc 2.35 also beside a dlopen().
class stack_signal {
public:
    /// holds_gil: whether the calling thread holds the GIL; called in the signal's handler.
    /// Throws: std::runtime_error if every real-time signal is taken.
    explicit stack_signal(bool (*holds_gil)() noexcept);
    /// No thread is asked any more. A signal that is still pending is discarded.
    ~stack_signal();

    stack_signal(stack_signal const&) = delete;
    stack_signal& operator=(stack_signal const&) = delete;

    /// Asks one thread after the other, except the caller, and waits at most a tenth of a second
    /// for each, and two seconds for all. Threads: one at a time.
    /// known: which threads to ask if the system does not say which there are, as in a chroot, or
    ///        without a free descriptor; 0 is no thread.
    /// spare: whether not to ask threads in a wait that the question would end.
    [[nodiscard]] std::vector<thread_stack> ask_every_thread(std::vector<pid_t> known,
                                                             bool (*spare)(pid_t thread)) const;

    /// The same for one thread. Threads: one at a time, and not beside the other function.
    [[nodiscard]] thread_stack ask_thread(pid_t id, bool (*spare)(pid_t thread)) const;

    [[nodiscard]] int number() const noexcept { return number_; }

private:
    void ask(thread_stack& asked) const;

    int number_;
    bool (*holds_gil_)() noexcept;
    struct sigaction before_{};
};

/// A real-time signal that no code handles; 0: there is none.
[[nodiscard]] int unused_signal() noexcept;

}  // namespace handoff
