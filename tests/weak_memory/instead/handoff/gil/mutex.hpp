// mutex: handoff::mutex and handoff::condition_variable as Relacy models them; nothing times out.
#pragma once

namespace handoff {

class mutex {
public:
    void lock() {
        modelled::switching others;
        native_.lock($);
    }
    void unlock() {
        modelled::switching others;
        native_.unlock($);
    }

private:
    friend class condition_variable;
    rl::mutex native_;
};

class condition_variable {
public:
    void notify_one() noexcept {
        modelled::switching others;
        native_.notify_one($);
    }
    void notify_all() noexcept {
        modelled::switching others;
        native_.notify_all($);
    }
    template <class Predicate>
    void wait(std::unique_lock<mutex>& held, Predicate ready) {
        while (!ready()) {
            modelled::switching others;
            native_.wait(held.mutex()->native_, $);
        }
    }
    template <class Time, class Predicate>
    bool wait_until(std::unique_lock<mutex>& held, Time /*deadline*/, Predicate ready) {
        wait(held, ready);
        return true;
    }

private:
    rl::condition_variable native_;
};

}  // namespace handoff
