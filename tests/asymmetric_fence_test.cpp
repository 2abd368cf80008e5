// asymmetric_fence: of two threads that show each other something, at least one sees it.
#include <handoff/gil/detail/asymmetric_fence.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace {

using handoff::detail::fence_others;
using handoff::detail::prepare_to_fence_others;
using handoff::detail::store_shown;

/// Both go on at the same moment, where each has a processor.
void await(std::atomic<int> const& counter, int value) {
    static constexpr int turns = 1000;
    for (int turn = 0; counter != value; ++turn) {
        if (turn == turns) {
            turn = 0;
            std::this_thread::yield();
        }
    }
}

/// How often neither sees what the other has written.
int times_unseen() {
    static constexpr int rounds = 200'000;
    std::atomic<int> often = 0;
    std::atomic<int> once = 0;
    std::atomic<int> seen_by_other = 0;
    std::atomic<int> round = 0;
    std::atomic<int> is_done = 0;
    std::thread other([&] {
        for (int each = 1; each <= rounds; ++each) {
            await(round, each);
            store_shown(often, each);
            seen_by_other.store(once, std::memory_order_relaxed);
            is_done = each;
        }
    });
    int unseen = 0;
    for (int each = 1; each <= rounds; ++each) {
        round = each;
        once = each;
        fence_others();
        int const seen = often;
        await(is_done, each);
        unseen += seen != each && seen_by_other != each ? 1 : 0;
    }
    other.join();
    return unseen;
}

TEST(AsymmetricFence, IsSeenByOneOfThem) {
    prepare_to_fence_others();
    EXPECT_EQ(times_unseen(), 0);
}

TEST(AsymmetricFence, WithoutTheKernelsIsSeenAsWell) { EXPECT_EQ(times_unseen(), 0); }

}  // namespace
