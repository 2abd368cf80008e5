// mailbox: tells an event loop which of its waits have ended, from any thread and without the GIL.
#pragma once

#include <handoff/gil/mutex.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace handoff {

/// The waits that have ended, and a descriptor that is readable while there are some. An event loop
/// watches it as it watches sockets. It is an eventfd. No thread waits for it, and a thread that
/// posts runs no Python code.
///
/// Owned by std::shared_ptrs. A function that Python calls must take a mailbox&, and call
/// shared_from_this(): a shared_ptr that Boost.Python converts drops a Python object on the thread
/// that destroys it.
///
/// GIL:     not needed, unchanged.
/// Threads: any.
/// Source:  eventfd(2).
class mailbox : public std::enable_shared_from_this<mailbox> {
public:
    /// A wait that has ended, by its number, and whether what it waited for was reached.
    struct letter {
        std::uint64_t wait;
        bool reached;
    };

    /// Throws: std::system_error: no descriptor is available.
    mailbox();
    ~mailbox();
    mailbox(mailbox const&) = delete;
    mailbox& operator=(mailbox const&) = delete;

    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

    /// The number of a new wait. There is room for it from now on, until its letter is taken.
    /// Throws: std::bad_alloc.
    std::uint64_t expect();

    /// REQUIRES: a number from expect(), not posted or forgotten before.
    void post(letter ended) noexcept;

    /// A wait that was not posted will never be.
    void forget() noexcept;

    /// What was posted, in order; the descriptor is not readable then. Throws: std::bad_alloc.
    std::vector<letter> take();

    /// Waits until something is posted, or wake() was called: for a thread without an event loop.
    void wait();

    /// Makes wait() return, now or, if no thread waits, the next time.
    void wake() noexcept;

private:
    /// A daemon may close all descriptors that it does not know. The number of this descriptor may
    /// then belong to another file of the program.
    [[nodiscard]] bool is_ours() const noexcept;

    int const descriptor_;
    std::pair<dev_t, ino_t> const file_;
    mutex guard_;  // of all below
    std::vector<letter> posted_;  // has room for all that are expected
    std::size_t expected_ = 0;    // not taken yet, and not forgotten
    std::uint64_t last_ = 0;
    bool woken_ = false;
    condition_variable changed_;  // something was posted, or it was woken
};

}  // namespace handoff
