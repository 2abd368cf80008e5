// await_gil(): the one way in which our guards wait for the GIL, noted where a watchdog reads it.
#pragma once

#include <handoff/gil/detail/assertion.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/mutex.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <pthread.h>
#include <utility>
#include <vector>

namespace handoff::detail {

/// A wait for the GIL in progress, on the stack of the thread that waits.
///
/// Visible, so that a host and the modules that it loads share one list.
class [[gnu::visibility("default")]] gil_wait {
public:
    using clock = std::chrono::steady_clock;

    struct note {
        pthread_t thread{};
        clock::time_point since{};
    };

    /// Whether anybody reads the notes; otherwise none is made.
    static inline std::atomic<bool> watched = false;

    gil_wait() noexcept : note_{.thread = pthread_self(), .since = clock::now()} {
        std::scoped_lock const held(list_mutex);
        next_ = std::exchange(newest, this);
        if (next_ != nullptr) {
            next_->previous_ = this;
        }
    }

    ~gil_wait() {
        std::scoped_lock const held(list_mutex);
        (previous_ != nullptr ? previous_->next_ : newest) = next_;
        if (next_ != nullptr) {
            next_->previous_ = previous_;
        }
    }

    gil_wait(gil_wait const&) = delete;
    gil_wait& operator=(gil_wait const&) = delete;

    /// GIL: not needed. Threads: any.
    [[nodiscard]] static std::vector<note> all() {
        std::vector<note> notes;
        std::scoped_lock const held(list_mutex);
        for (gil_wait const* each = newest; each != nullptr; each = each->next_) {
            notes.push_back(each->note_);
        }
        return notes;
    }

    /// For pthread_atfork(). In the child nobody waits, and nobody watches.
    static void before_fork() noexcept { list_mutex.lock(); }
    static void after_fork_in_parent() noexcept { list_mutex.unlock(); }
    static void after_fork_in_child() noexcept {
        newest = nullptr;
        watched = false;
        list_mutex.unlock();
    }

private:
    static inline std::mutex list_mutex;  // held for moments, and nothing is waited for under it
    static inline gil_wait* newest = nullptr;

    note note_;
    gil_wait* previous_ = nullptr;
    gil_wait* next_ = nullptr;
};

/// In a debug build: aborts when the caller, about to wait for the GIL, holds a handoff::mutex.
inline void assert_no_mutex_held() noexcept {
#ifndef NDEBUG
    if (mutexes_held > 0) {
        rule_broken("waiting for the GIL while it holds a handoff::mutex",
                    "who holds the GIL and waits for that mutex does not get it, nor this thread "
                    "the GIL: neither would go on",
                    "copy what you need under the mutex, unlock it, and acquire the GIL then");
    }
#endif
}

/// Calls `take`, which waits for the GIL and takes it. What it costs beyond that: one load.
///
/// GIL: not held on entry, held on return.
template <class Take>
void await_gil(Take take) noexcept {
    assert_no_mutex_held();
    if (gil_wait::watched.load(std::memory_order_relaxed)) [[unlikely]] {
        gil_wait const noted;
        rather_hang(take);
    } else {
        rather_hang(take);
    }
}

}  // namespace handoff::detail
