// fork_tie: an object that a fork() finds unchanged, and that begins anew in the child.
#pragma once

#include <handoff/gil/mutex.hpp>

#include <mutex>
#include <pthread.h>

namespace handoff::detail {

/// Ties an object, whose data a mutex guards, to fork(), from here until it is destroyed: no thread
/// changes it while the process is copied. To be its last member, so that an object that is tied is
/// whole. It has
///
///     void begin_in_child();
///
/// which is called with the mutex locked, in a child that has no other thread.
///
/// All T of a module are locked at a fork(), in any order: a thread may not hold the mutexes of
/// two. Nor may it make or destroy a T with such a mutex held.
///
/// GIL: any; not touched. Threads: any.
template <class T>
class fork_tie {
public:
    fork_tie(T& tied, mutex& guards) : tied_(tied), guards_(guards) {
        [[maybe_unused]] static bool const is_registered =
            pthread_atfork(&lock_all, &unlock_all, &begin_all_in_child) == 0;
        std::scoped_lock const held(guard);
        next_ = first;
        if (first != nullptr) {
            first->previous_ = this;
        }
        first = this;
    }

    ~fork_tie() {
        std::scoped_lock const held(guard);
        (previous_ != nullptr ? previous_->next_ : first) = next_;
        if (next_ != nullptr) {
            next_->previous_ = previous_;
        }
    }

    fork_tie(fork_tie const&) = delete;
    fork_tie& operator=(fork_tie const&) = delete;

private:
    static void lock_all() {
        guard.lock();
        for (auto* each = first; each != nullptr; each = each->next_) {
            each->guards_.lock();
        }
    }

    static void unlock_all() {
        for (auto* each = first; each != nullptr; each = each->next_) {
            each->guards_.unlock();
        }
        guard.unlock();
    }

    static void begin_all_in_child() {
        for (auto* each = first; each != nullptr; each = each->next_) {
            each->tied_.begin_in_child();
        }
        unlock_all();
    }

    // Taken before any T's.
    static inline constinit mutex guard;
    static inline constinit fork_tie* first = nullptr;

    T& tied_;
    mutex& guards_;  // its data
    fork_tie* next_ = nullptr;
    fork_tie* previous_ = nullptr;
};

}  // namespace handoff::detail
