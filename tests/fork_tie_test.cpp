// fork_tie: the child finds each object whole and unlocked, whatever other threads were doing.
#include <handoff/gil/detail/fork_tie.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace {

constexpr int forks = 200;
constexpr unsigned patience = 20;  // seconds that a child may hang

/// Two numbers that are equal whenever no thread has the mutex.
class tied_pair {
public:
    void count() {
        std::scoped_lock const held(mutex_);
        ++first_;
        std::this_thread::yield();
        ++second_;
    }

    /// Of a child: whether it began anew, from a whole pair.
    [[nodiscard]] bool began_whole() {
        std::scoped_lock const held(mutex_);
        return began_ && first_ == second_;
    }

private:
    handoff::mutex mutex_;
    unsigned first_ = 0;
    unsigned second_ = 0;
    bool began_ = false;

    friend handoff::detail::fork_tie<tied_pair>;
    void begin_in_child() { began_ = true; }
    handoff::detail::fork_tie<tied_pair> const tie_{*this, mutex_};
};

/// Forks again and again beside a thread that does that, until a child finds a fault; returns how
/// many children found none.
template <class Work, class Check>
int whole_beside(Work work, Check check) {
    std::atomic<bool> done = false;
    std::thread worker([&] {
        while (!done) {
            work();
        }
    });
    int whole = 0;
    bool is_whole = true;
    while (is_whole && whole < forks) {
        pid_t const child = fork();
        if (child == 0) {
            alarm(patience);
            _exit(check() ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        int status = -1;
        waitpid(child, &status, 0);
        is_whole = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
        whole += is_whole ? 1 : 0;
    }
    done = true;
    worker.join();
    return whole;
}

TEST(ForkTie, TheChildFindsEachWhole) {
    tied_pair one;
    tied_pair other;
    auto const count = [&] {
        one.count();
        other.count();
    };
    EXPECT_EQ(whole_beside(count, [&] { return one.began_whole() && other.began_whole(); }), forks);
    EXPECT_FALSE(one.began_whole());  // the parent's
}

TEST(ForkTie, TheyAreMadeAndDestroyedBesideForks) {
    tied_pair before;
    auto const make = [] {
        tied_pair made;
        made.count();
    };
    auto const check = [&] {
        make();
        return before.began_whole();
    };
    EXPECT_EQ(whole_beside(make, check), forks);
}

}  // namespace
