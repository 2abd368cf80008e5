// What a channel does when a thread must wait or is notified, and after a fork().
#include <handoff/channel.hpp>
#include <handoff/channel/doorbell.hpp>
#include <handoff/channel/listener.hpp>
#include <handoff/channel/short_lock.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <utility>

namespace handoff::detail {

std::atomic<unsigned> counted_forks = 0;

namespace {

[[maybe_unused]] bool const is_tied_to_fork =
    pthread_atfork(nullptr, nullptr, [] { ++counted_forks; }) == 0;

}  // namespace

/// First by yielding. The holder may be a thread of lower priority that does not run as long as
/// this one does, so later by sleeping.
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
    } while (locked_.load(std::memory_order_relaxed) || !try_lock());  // try_lock() acquires
}

void doorbell::ring() noexcept {
    std::scoped_lock const held(mutex_);
    rings_.fetch_add(1, std::memory_order_relaxed);
    rung_.notify_all();
    listeners_.clear_and_dispose([](channel_listener* each) {
        each->enrolled_ = false;
        each->hear();
    });
}

void doorbell::enrol(channel_listener& added) noexcept {
    std::scoped_lock const held(mutex_);
    listeners_.push_back(added);
    added.enrolled_ = true;
}

void doorbell::tell(channel_listener& enrolled) noexcept {
    std::scoped_lock const held(mutex_);
    if (remove(enrolled)) {
        enrolled.hear();
    }
}

void doorbell::withdraw(channel_listener& enrolled) noexcept {
    std::scoped_lock const held(mutex_);
    remove(enrolled);
}

bool doorbell::remove(channel_listener& enrolled) noexcept {
    if (!std::exchange(enrolled.enrolled_, false)) {
        return false;
    }
    listeners_.erase(listeners_.iterator_to(enrolled));
    return true;
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

namespace handoff {

void channel_listener::listen(std::weak_ptr<detail::channel_end> const& to) noexcept {
    to_ = to.lock();
    if (to_ == nullptr || !to_->listen(*this)) {
        hear();
    }
}

void channel_listener::withdraw() noexcept {
    if (auto const from = std::exchange(to_, nullptr)) {
        from->withdraw(*this);
    }
}

}  // namespace handoff
