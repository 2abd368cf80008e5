// ThreadSanitizer and helgrind see what they must: a race that is put in on purpose.
#include "deliberate_fault.hpp"
#include <handoff/gil.hpp>

#include <latch>
#include <mutex>
#include <optional>
#include <thread>

namespace {

using handoff::gil_acquire;
using handoff::gil_release;

/// Two threads, begun together, that count with no other lock than the GIL, if they take it.
template <bool FirstTakesTheGil, bool SecondTakesTheGil>
void count() {
    gil_release while_they_count;
    std::latch together(2);
    int counted = 0;
    auto const each = [&](bool takes_the_gil) {
        together.arrive_and_wait();
        std::optional<gil_acquire> to_count;
        if (takes_the_gil) {
            to_count.emplace();
        }
        ++counted;
    };
    std::thread first(each, FirstTakesTheGil);
    std::thread second(each, SecondTakesTheGil);
    first.join();
    second.join();
}

TEST(RaceDeathTest, OfTwoThreadsWithoutTheGilIsReported) {
    expect_report("data race", &count<false, false>);
}

TEST(RaceDeathTest, OfAThreadWithoutTheGilAndOneThatHoldsItIsReported) {
    expect_report("data race", &count<true, false>);
}

TEST(RaceDeathTest, OfTwoThreadsThatHoldTheGilIsNone) { expect_no_report(&count<true, true>); }

TEST(RaceDeathTest, LocksThatAreTakenInBothOrdersAreReported) {
    expect_report("lock-order-inversion|lock order", [] {
        std::mutex one;
        std::mutex other;
        std::thread([&] {
            std::scoped_lock const first(one);
            std::scoped_lock const then(other);
        }).join();
        std::thread([&] {
            std::scoped_lock const first(other);
            std::scoped_lock const then(one);
        }).join();
    });
}

}  // namespace
