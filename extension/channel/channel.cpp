// What a channel does when somebody must wait, and after a fork().
#include <handoff/channel/doorbell.hpp>
#include <handoff/channel/short_lock.hpp>

#include <chrono>
#include <mutex>
#include <pthread.h>
#include <thread>

namespace handoff::detail {

std::atomic<unsigned> counted_forks = 0;

namespace {

[[maybe_unused]] bool const is_tied_to_fork =
    pthread_atfork(nullptr, nullptr, [] { ++counted_forks; }) == 0;

}  // namespace

/// First by giving way; then, as the holder may be a thread of lower priority that does not run for
/// as long as this one does, by sleeping.
void short_lock::come_again() noexcept {
    static constexpr int give_way = 16;
    static constexpr std::chrono::microseconds sleep{50};
    int times = 0;
    do {
        if (++times < give_way) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(sleep);
        }
    } while (locked_.load(std::memory_order_relaxed) || !try_lock());
}

void doorbell::ring() noexcept {
    std::scoped_lock const held(mutex_);
    rings_.fetch_add(1, std::memory_order_relaxed);
    rung_.notify_all();
}

void doorbell::wait(unsigned seen) noexcept {
    std::unique_lock held(mutex_);
    rung_.wait(held, [&] { return rings_.load(std::memory_order_relaxed) != seen; });
}

bool doorbell::wait_until(unsigned seen, clock::time_point deadline) noexcept {
    std::unique_lock held(mutex_);
    return rung_.wait_until(held, deadline,
                            [&] { return rings_.load(std::memory_order_relaxed) != seen; });
}

}  // namespace handoff::detail
