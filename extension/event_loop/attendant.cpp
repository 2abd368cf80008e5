// The attendant: sleeps until there is work; while it waits for futures, it checks them in turn.
#include <handoff/event_loop/detail/attendant.hpp>
#include <handoff/gil/mutex.hpp>

#include <atomic>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace handoff::detail {

namespace {

using std::chrono::microseconds;

class attendant {
public:
    /// The one of this process: in the child of a fork() the parent's thread does not exist, and
    /// its mutex may be locked. Never destroyed, because its thread lasts as long as the process.
    static attendant& only() {
        static constinit std::atomic<attendant*> known = nullptr;
        attendant* found = known;
        while (found == nullptr || found->process_ != getpid()) {
            auto made = std::make_unique<attendant>(found);
            if (known.compare_exchange_strong(found, made.get())) {
                found = made.release();
            }
        }
        return *found;
    }

    explicit attendant(attendant* former) : former_(former) {}

    void watch(std::unique_ptr<watched_future> added) {
        std::scoped_lock const held(guard_);
        start();
        added_.push_back(std::move(added));
        changed_.notify_one();
    }

    void run(std::function<void()> errand) {
        std::scoped_lock const held(guard_);
        start();
        errands_.push_back(std::move(errand));
        changed_.notify_one();
    }

private:
    /// The mutex is held.
    void start() {
        if (!is_started_) {
            std::thread([this] { work(); }).detach();
            is_started_ = true;
        }
    }

    [[noreturn]] void work() {
        pthread_setname_np(pthread_self(), "handoff waits");
        for (;;) {
            for (auto const& errand : take()) {
                errand();
            }
            std::erase_if(watched_, [](auto const& each) {
                bool const is_ready = each->is_ready_within(microseconds(0));
                if (is_ready) {
                    each->settle();
                }
                return is_ready;
            });
            if (!watched_.empty()) {
                static_cast<void>(watched_.back()->is_ready_within(microseconds(1000)));
            }
        }
    }

    /// Waits until there is something to do. Returns: the errands.
    std::vector<std::function<void()>> take() {
        std::unique_lock held(guard_);
        changed_.wait(held,
                      [&] { return !errands_.empty() || !added_.empty() || !watched_.empty(); });
        for (auto& each : added_) {
            watched_.push_back(std::move(each));
        }
        added_.clear();
        return std::exchange(errands_, {});
    }

    [[maybe_unused]] attendant* const former_;  // the parent's; kept so that it does not leak
    pid_t const process_ = getpid();
    std::vector<std::unique_ptr<watched_future>> watched_;  // used by the thread
    mutex guard_;                                           // of all below
    condition_variable changed_;
    std::vector<std::unique_ptr<watched_future>> added_;
    std::vector<std::function<void()>> errands_;
    bool is_started_ = false;
};

}  // namespace

void watch(std::unique_ptr<watched_future> added) { attendant::only().watch(std::move(added)); }

void run_elsewhere(std::function<void()> const& errand) noexcept {
    try {
        attendant::only().run(errand);
    } catch (...) {
        errand();
    }
}

}  // namespace handoff::detail
