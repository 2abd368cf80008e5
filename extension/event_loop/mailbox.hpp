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

/// What has ended, and a descriptor that can be read while there is some: an event loop watches it,
/// as it watches sockets. An eventfd; no thread waits for it, and none that posts runs Python code.
///
/// Owned by std::shared_ptrs. In a function that Python calls take a mailbox&, and
/// shared_from_this(): a shared_ptr that Boost.Python converts drops a Python object, with whatever
/// thread drops it.
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

    /// Throws: std::system_error: there is no descriptor left.
    mailbox();
    ~mailbox();
    mailbox(mailbox const&) = delete;
    mailbox& operator=(mailbox const&) = delete;

    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

    /// The number of a new wait, for which there is room from now on, until its letter is taken.
    /// Throws: std::bad_alloc.
    std::uint64_t expect();

    /// REQUIRES: a number from expect(), not posted or forgotten before.
    void post(letter ended) noexcept;

    /// A wait that was not posted will not be.
    void forget() noexcept;

    /// What was posted, in order; the descriptor cannot be read then. Throws: std::bad_alloc.
    std::vector<letter> take();

    /// Waits until something is posted, or wake() was called: for a thread without an event loop.
    void wait();

    /// Lets wait() return, now or, where nobody waits, the next time.
    void wake() noexcept;

private:
    /// A program may have closed the descriptor, with all that it did not know, as daemons do: the
    /// number is then that of a file of its own.
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
