// A channel of C++: nothing lost, nothing doubled, and nobody waits for ever.
#include <handoff/channel.hpp>
#include <handoff/channel/listener.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <latch>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using handoff::channel;
using handoff::channel_counts;
using handoff::producer;
using handoff::pushed;
using handoff::when_full;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::chrono::seconds long_enough{20 * HANDOFF_PATIENCE};
constexpr std::chrono::milliseconds a_while{50};
constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

auto soon() { return std::chrono::steady_clock::now() + long_enough; }
auto at_once() { return std::chrono::steady_clock::now(); }

void expect_counts(channel_counts const& seen, channel_counts const& expected) {
    EXPECT_EQ(seen.pushed, expected.pushed);
    EXPECT_EQ(seen.delivered, expected.delivered);
    EXPECT_EQ(seen.dropped, expected.dropped);
    EXPECT_EQ(seen.refused, expected.refused);
    EXPECT_EQ(seen.size, expected.size);
}

void push_numbers(channel<int> const& to, int count) {
    producer<int> const way_in(to);
    for (int number = 0; number < count; ++number) {
        way_in.push(number);
    }
}

TEST(Channel, DeliversInOrder) {
    channel<int> numbers(4);
    producer<int> const out(numbers);
    EXPECT_EQ(out.push(1), pushed::taken);
    EXPECT_EQ(out.push(2), pushed::taken);
    EXPECT_EQ(out.push(3), pushed::taken);
    EXPECT_EQ(numbers.size(), 3U);
    EXPECT_THAT(numbers.take(2), ElementsAre(1, 2));
    EXPECT_THAT(numbers.take(2), ElementsAre(3));
    EXPECT_THAT(numbers.take(2), IsEmpty());
}

TEST(Channel, DeliversWhatCannotBeCopied) {
    channel<std::unique_ptr<int>> pointers(1, when_full::drop_oldest);
    producer<std::unique_ptr<int>> const out(pointers);
    out.push(std::make_unique<int>(1));
    out.push(std::make_unique<int>(2));
    {
        handoff::loan const borrowed(pointers, all);
        ASSERT_EQ(borrowed.values().size(), 1U);
        EXPECT_EQ(*borrowed.values()[0], 2);
    }
    EXPECT_EQ(*pointers.take(all).at(0), 2);
}

TEST(Channel, NeedsAPositiveCapacity) {
    for (std::ptrdiff_t const wrong :
         {std::ptrdiff_t{0}, std::ptrdiff_t{-3}, std::numeric_limits<std::ptrdiff_t>::max()}) {
        try {
            channel<int> const refused(wrong);
            ADD_FAILURE() << wrong << " is accepted";
        } catch (std::invalid_argument const& error) {
            EXPECT_THAT(error.what(), testing::HasSubstr("capacity must be a positive number"));
            EXPECT_THAT(error.what(), testing::EndsWith("not " + std::to_string(wrong)));
        }
    }
}

TEST(ChannelFull, Refuses) {
    channel<int> numbers(2, when_full::refuse);
    producer<int> const out(numbers);
    out.push(1);
    out.push(2);
    EXPECT_EQ(out.push(3), pushed::refused);
    EXPECT_EQ(out.push(4), pushed::refused);
    EXPECT_THAT(numbers.take(1), ElementsAre(1));
    EXPECT_EQ(out.push(5), pushed::taken);
    EXPECT_THAT(numbers.take(all), ElementsAre(2, 5));
    expect_counts(numbers.counts(), {.pushed = 3, .delivered = 3, .refused = 2});
}

TEST(ChannelFull, DropsTheOldest) {
    channel<int> numbers(2, when_full::drop_oldest);
    producer<int> const out(numbers);
    for (int n = 0; n < 5; ++n) {
        EXPECT_EQ(out.push(n), pushed::taken);
    }
    EXPECT_EQ(numbers.size(), 2U);
    EXPECT_THAT(numbers.take(all), ElementsAre(3, 4));
    expect_counts(numbers.counts(), {.pushed = 5, .delivered = 2, .dropped = 3});
}

TEST(ChannelFull, BlocksUntilThereIsRoom) {
    channel<int> numbers(1);
    producer<int> const out(numbers);
    out.push(1);
    auto second = std::async(std::launch::async, [&] { return out.push(2); });
    EXPECT_EQ(second.wait_for(a_while), std::future_status::timeout);
    EXPECT_THAT(numbers.take(all), ElementsAre(1));
    ASSERT_EQ(second.wait_for(long_enough), std::future_status::ready);
    EXPECT_EQ(second.get(), pushed::taken);
    EXPECT_THAT(numbers.take(all), ElementsAre(2));
}

TEST(ChannelFull, FreesWhoIsBlockedWhenItIsClosed) {
    channel<int> numbers(1);
    producer<int> const out(numbers);
    out.push(1);
    std::vector<std::future<pushed>> blocked;
    blocked.reserve(3);
    for (int n = 0; n < 3; ++n) {
        blocked.push_back(std::async(std::launch::async, [own = producer<int>(numbers), n] {
            own.push(n);
            return own.push(n);
        }));
    }
    EXPECT_EQ(blocked[0].wait_for(a_while), std::future_status::timeout);
    numbers.close();
    for (auto& each : blocked) {
        ASSERT_EQ(each.wait_for(long_enough), std::future_status::ready);
        EXPECT_EQ(each.get(), pushed::closed);
    }
}

TEST(ChannelFull, FreesWhoIsBlockedWhenTheConsumerGoes) {
    auto numbers = std::make_unique<channel<int>>(1);
    producer<int> const out(*numbers);
    out.push(1);
    auto blocked = std::async(std::launch::async, [&] { return out.push(2); });
    EXPECT_EQ(blocked.wait_for(a_while), std::future_status::timeout);
    numbers.reset();
    ASSERT_EQ(blocked.wait_for(long_enough), std::future_status::ready);
    EXPECT_EQ(blocked.get(), pushed::closed);
    EXPECT_EQ(out.push(3), pushed::closed);
    EXPECT_TRUE(out.closed());
}

TEST(ChannelPushMany, TakesAllInOrderWherePartsOfItFit) {
    channel<int> numbers(3);
    producer<int> const out(numbers);
    std::vector<int> const block{0, 1, 2, 3, 4, 5, 6, 7};
    auto all_pushed = std::async(std::launch::async, [&] { return out.push_many(block); });
    std::vector<int> taken;
    while (taken.size() < block.size() && numbers.wait_until(soon())) {
        auto const part = numbers.take(all);
        taken.insert(taken.end(), part.begin(), part.end());
    }
    EXPECT_EQ(taken, block);
    EXPECT_EQ(all_pushed.get(), block.size());
    EXPECT_EQ(out.push_many({}), 0U);
}

TEST(ChannelPushMany, CountsAllThatIsRefused) {
    channel<int> numbers(3, when_full::refuse);
    producer<int> const out(numbers);
    out.push(0);
    EXPECT_EQ(out.push_many(std::vector{1, 2, 3, 4, 5}), 2U);
    EXPECT_EQ(numbers.counts().refused, 3U);
    EXPECT_THAT(numbers.take(all), ElementsAre(0, 1, 2));
    numbers.close();
    EXPECT_EQ(out.push_many(std::vector{6, 7}), 0U);
    EXPECT_EQ(numbers.counts().refused, 5U);
}

TEST(ChannelPushMany, DropsTheOldestForTheLatest) {
    channel<int> numbers(3, when_full::drop_oldest);
    producer<int> const out(numbers);
    out.push(0);
    EXPECT_EQ(out.push_many(std::vector{1, 2, 3, 4, 5}), 5U);
    EXPECT_EQ(numbers.counts().dropped, 3U);
    EXPECT_THAT(numbers.take(all), ElementsAre(3, 4, 5));
}

TEST(ChannelPushMany, ThatIsBlockedEndsWithTheChannel) {
    channel<int> numbers(2);
    producer<int> const out(numbers);
    auto pushing =
        std::async(std::launch::async, [&] { return out.push_many(std::vector{0, 1, 2, 3}); });
    ASSERT_TRUE(numbers.wait_until(soon(), 2));
    EXPECT_EQ(pushing.wait_for(a_while), std::future_status::timeout);
    numbers.close();
    ASSERT_EQ(pushing.wait_for(long_enough), std::future_status::ready);
    EXPECT_EQ(pushing.get(), 2U);
    EXPECT_EQ(numbers.counts().refused, 2U);
    EXPECT_THAT(numbers.take(all), ElementsAre(0, 1));
}

TEST(ChannelPushMany, WakesWhoWaits) {
    channel<int> numbers(8);
    auto waits = std::async(std::launch::async, [&] { return numbers.wait_until(soon(), 3); });
    EXPECT_EQ(waits.wait_for(a_while), std::future_status::timeout);
    producer<int>(numbers).push_many(std::vector{0, 1, 2});
    ASSERT_EQ(waits.wait_for(long_enough / 2), std::future_status::ready);
    EXPECT_TRUE(waits.get());
}

TEST(ChannelClosed, DeliversTheRestAndTakesNothingIn) {
    channel<int> numbers(4);
    producer<int> const out(numbers);
    out.push(1);
    out.close(std::make_exception_ptr(std::runtime_error("the first error")));
    out.close(std::make_exception_ptr(std::runtime_error("another")));
    EXPECT_EQ(out.push(2), pushed::closed);
    EXPECT_TRUE(numbers.wait_until(at_once()));
    EXPECT_THAT(numbers.take(all), ElementsAre(1));
    EXPECT_TRUE(numbers.wait_until(at_once()));
    EXPECT_EQ(numbers.counts().refused, 1U);
    EXPECT_TRUE(numbers.closed());
    try {
        std::rethrow_exception(numbers.error());
    } catch (std::runtime_error const& error) {
        EXPECT_STREQ(error.what(), "the first error");
    }
}

TEST(ChannelWait, EndsWithAPushWithTheEndAndInTime) {
    channel<int> numbers(4);
    EXPECT_FALSE(numbers.wait_until(at_once()));
    EXPECT_FALSE(numbers.wait_until(at_once() + std::chrono::milliseconds(1)));

    auto waiting = [&] { return numbers.wait_until(soon()); };
    auto for_a_push = std::async(std::launch::async, waiting);
    EXPECT_EQ(for_a_push.wait_for(a_while), std::future_status::timeout);
    producer<int>(numbers).push(1);
    ASSERT_EQ(for_a_push.wait_for(long_enough / 2), std::future_status::ready);
    EXPECT_TRUE(for_a_push.get());

    EXPECT_THAT(numbers.take(all), ElementsAre(1));
    auto for_the_end = std::async(std::launch::async, waiting);
    EXPECT_EQ(for_the_end.wait_for(a_while), std::future_status::timeout);
    numbers.close();
    ASSERT_EQ(for_the_end.wait_for(long_enough / 2), std::future_status::ready);
    EXPECT_TRUE(for_the_end.get());
}

TEST(ChannelWait, IsForAsManyAsAreWanted) {
    channel<int> numbers(4);
    producer<int> const out(numbers);
    auto waiting = std::async(std::launch::async, [&] { return numbers.wait_until(soon(), all); });
    for (int n = 0; n < 3; ++n) {
        out.push(n);
    }
    EXPECT_EQ(waiting.wait_for(a_while), std::future_status::timeout);
    out.push(3);
    ASSERT_EQ(waiting.wait_for(long_enough / 2), std::future_status::ready);
    EXPECT_TRUE(waiting.get());
}

TEST(ChannelWait, EndsWithWhatComesBackFromAnotherConsumersLoan) {
    channel<int> numbers(1);
    producer<int>(numbers).push(1);
    handoff::loan borrowed(numbers, all);
    auto waiting = std::async(std::launch::async, [&] { return numbers.wait_until(soon()); });
    EXPECT_EQ(waiting.wait_for(a_while), std::future_status::timeout);
    borrowed.keep(0);
    ASSERT_EQ(waiting.wait_for(long_enough / 2), std::future_status::ready);
    EXPECT_TRUE(waiting.get());
}

TEST(ChannelLoan, OfTheLastValuesKeepsAClosedChannelFromItsEnd) {
    channel<int> numbers(2);
    producer<int> const out(numbers);
    out.push(1);
    out.push(2);
    handoff::loan borrowed(numbers, all);
    numbers.close();
    EXPECT_TRUE(numbers.closed());
    EXPECT_FALSE(numbers.ended());
    auto another = std::async(std::launch::async, [&] {
        bool const was_too_late = !numbers.wait_until(at_once());
        return std::pair(was_too_late,
                         numbers.wait_until(soon()) ? numbers.take(all) : std::vector<int>());
    });
    EXPECT_EQ(another.wait_for(a_while), std::future_status::timeout);
    borrowed.keep(1);
    ASSERT_EQ(another.wait_for(long_enough / 2), std::future_status::ready);
    auto const [was_too_late, taken] = another.get();
    EXPECT_TRUE(was_too_late);
    EXPECT_THAT(taken, ElementsAre(2));
    EXPECT_TRUE(numbers.ended());
}

TEST(ChannelLoan, ThatIsKeptIsTheEndOfAClosedChannelForWhoWaits) {
    channel<int> numbers(2);
    producer<int>(numbers).push(1);
    handoff::loan borrowed(numbers, all);
    numbers.close();
    auto waiting = std::async(std::launch::async, [&] { return numbers.wait_until(soon()); });
    EXPECT_EQ(waiting.wait_for(a_while), std::future_status::timeout);
    EXPECT_THAT(borrowed.keep_all(), ElementsAre(1));
    ASSERT_EQ(waiting.wait_for(long_enough / 2), std::future_status::ready);
    EXPECT_TRUE(waiting.get());
    EXPECT_TRUE(numbers.ended());
    EXPECT_THAT(numbers.take(all), IsEmpty());
    EXPECT_EQ(numbers.counts().delivered, 1U);
}

TEST(ChannelLoan, DoesNotMakeTheBorrowerWaitForItself) {
    channel<int> numbers(2);
    producer<int>(numbers).push(1);
    handoff::loan const borrowed(numbers, all);
    numbers.close();
    EXPECT_TRUE(numbers.lends_to_caller());
    EXPECT_TRUE(numbers.wait_until(soon()));
    EXPECT_FALSE(std::async(std::launch::async, [&] { return numbers.lends_to_caller(); }).get());
}

TEST(ChannelLoan, ComesBackInTheOrderOfThePushesWhicheverEndsFirst) {
    channel<int> numbers(6);
    for (int n = 0; n < 6; ++n) {
        producer<int>(numbers).push(n);
    }
    handoff::loan first(numbers, 2);
    handoff::loan second(numbers, 2);
    first.keep(0);
    second.keep(1);
    EXPECT_THAT(numbers.take(all), ElementsAre(0, 1, 3, 4, 5));
}

TEST(ChannelLoan, OfWhatHasComeBackComesBackToItsPlace) {
    channel<int> values(10);
    push_numbers(values, 10);
    {
        handoff::loan const all_of_them(values, all);
    }
    {
        handoff::loan const half(values, 5);
    }
    EXPECT_THAT(values.take(all), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(ChannelLoan, OfPartsOfOthersComesBackToItsPlaces) {
    channel<int> values(10);
    push_numbers(values, 10);
    auto first = std::make_unique<handoff::loan<int>>(values, 3);
    auto second = std::make_unique<handoff::loan<int>>(values, 3);
    second.reset();
    auto third = std::make_unique<handoff::loan<int>>(values, 2);
    first.reset();
    handoff::loan fourth(values, 5);  // 0 1 2, 5, 6
    EXPECT_THAT(fourth.values(), ElementsAre(0, 1, 2, 5, 6));
    third.reset();
    fourth.keep(2);
    EXPECT_THAT(values.take(all), ElementsAre(2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(ChannelLoan, ThatComesBackInPartsLosesTheOldestFirst) {
    channel<int> values(10, when_full::drop_oldest);
    push_numbers(values, 10);
    {
        handoff::loan const all_of_them(values, all);
    }
    {
        handoff::loan const half(values, 5);
    }
    producer<int>(values).push(10);
    EXPECT_THAT(values.take(all), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
}

TEST(ChannelLoan, OfTwoAtOnceComesBackInOrder) {
    static constexpr int many = 200'000;
    for (int round = 0; round < 20; ++round) {
        channel<int> values(many);
        push_numbers(values, many);
        std::latch both(2);
        std::latch have_borrowed(2);
        auto const borrow = [&] {
            both.arrive_and_wait();
            handoff::loan const some(values, many);
            have_borrowed.arrive_and_wait();
        };
        std::jthread one(borrow);
        std::jthread other(borrow);
        one.join();
        other.join();
        auto const back = values.take(all);
        ASSERT_EQ(back.size(), many);
        ASSERT_TRUE(std::ranges::is_sorted(back));
    }
}

TEST(ChannelLoan, ThatComesBackMakesRoomFirstWhereTheOldestAreDropped) {
    channel<int> numbers(3, when_full::drop_oldest);
    producer<int> const out(numbers);
    for (int n = 0; n < 3; ++n) {
        out.push(n);
    }
    handoff::loan borrowed(numbers, all);
    out.push(3);
    borrowed.keep(0);
    EXPECT_THAT(numbers.counts().size, 3U);
    out.push(4);
    EXPECT_THAT(numbers.counts().size, 3U);
    EXPECT_THAT(numbers.counts().dropped, 2U);
    EXPECT_THAT(numbers.take(all), ElementsAre(2, 3, 4));
}

TEST(ChannelLoan, OutlivesItsChannel) {
    auto strings = std::make_unique<channel<std::string>>(2);
    producer<std::string>(*strings).push("a");
    handoff::loan borrowed(*strings, all);
    strings.reset();
    EXPECT_THAT(borrowed.values(), ElementsAre("a"));
    EXPECT_THAT(borrowed.keep_all(), ElementsAre("a"));
    EXPECT_TRUE(borrowed.empty());
}

TEST(Channel, TakesBackWhatCouldNotBeUsed) {
    channel<int> numbers(2);
    producer<int> const out(numbers);
    out.push(1);
    out.push(2);
    handoff::loan borrowed(numbers, all);
    EXPECT_THAT(borrowed.values(), ElementsAre(1, 2));
    out.push(3);
    out.push(4);
    borrowed.keep(0);
    EXPECT_EQ(numbers.size(), 4U);
    EXPECT_EQ(numbers.counts().pushed, 4U);
    EXPECT_THAT(numbers.take(3), ElementsAre(1, 2, 3));
    EXPECT_THAT(numbers.take(3), ElementsAre(4));
    EXPECT_EQ(numbers.counts().delivered, 4U);

    out.push(1);
    out.push(2);
    handoff::loan first(numbers, 1);
    handoff::loan second(numbers, 1);
    second.keep(0);
    first.keep(0);
    EXPECT_THAT(handoff::loan(numbers, 2).values(), ElementsAre(1, 2));
    EXPECT_THAT(numbers.take(1), ElementsAre(1));
    EXPECT_THAT(numbers.take(2), ElementsAre(2));
}

/// Counts those of its kind that live.
class counted {
public:
    explicit counted(int number) : number_(number) { ++alive; }
    counted(counted&& other) noexcept : number_(other.number_) { ++alive; }
    counted& operator=(counted&&) noexcept = default;
    counted(counted const&) = delete;
    counted& operator=(counted const&) = delete;
    ~counted() { --alive; }

    static inline std::atomic<int> alive = 0;

private:
    int number_;
};

TEST(Channel, DestroysEachValueOnce) {
    {
        channel<counted> values(2, when_full::drop_oldest);
        producer<counted> const out(values);
        for (int n = 0; n < 5; ++n) {
            out.push(counted(n));
        }
        EXPECT_EQ(counted::alive, 2);
        handoff::loan borrowed(values, 1);
        EXPECT_EQ(counted::alive, 2);
        borrowed.keep(0);
        EXPECT_EQ(counted::alive, 2);
        values.close();
        out.push(counted(6));
        EXPECT_EQ(counted::alive, 2);
    }
    EXPECT_EQ(counted::alive, 0);
}

// ---- four producers at once
// ----------------------------------------------------------------------

constexpr std::uint32_t producers = 4;
constexpr std::uint32_t each_pushes = HANDOFF_PATIENCE > 1 ? 1'000 : 20'000;

struct message {
    std::uint32_t of = 0;
    std::uint32_t number = 0;
};

class FourProducers : public testing::TestWithParam<std::pair<when_full, std::ptrdiff_t>> {};

TEST_P(FourProducers, LoseAndDoubleNothingThatIsNotCounted) {
    auto const [policy, capacity] = GetParam();
    channel<message> messages(capacity, policy);
    std::array<std::uint64_t, producers> refused{};
    std::vector<std::thread> threads;
    threads.reserve(producers);
    std::latch finished(producers);
    for (std::uint32_t of = 0; of < producers; ++of) {
        threads.emplace_back([&, of, out = producer<message>(messages)] {
            std::array<message, 10> block;  // of every other producer
            auto const length = of % 2 == 0 ? 1 : block.size();
            for (std::uint32_t n = 0; n < each_pushes;) {
                auto const begin = n;
                for (auto& each : std::span(block).first(length)) {
                    each = {.of = of, .number = n++};
                }
                auto const taken = length == 1 ? (out.push(block[0]) == pushed::taken ? 1U : 0U)
                                               : out.push_many(std::span(block).first(length));
                refused.at(of) += n - begin - taken;
            }
            finished.count_down();
        });
    }
    std::thread closing([&] {
        finished.wait();
        messages.close();
    });

    std::array<std::uint64_t, producers> delivered{};
    std::array<std::int64_t, producers> last{-1, -1, -1, -1};
    std::uint64_t out_of_order = 0;
    auto const read = [&](std::vector<message> const& taken) {
        for (message const each : taken) {
            ++delivered.at(each.of);
            out_of_order += std::cmp_less_equal(each.number, last.at(each.of)) ? 1 : 0;
            last.at(each.of) = each.number;
        }
    };
    for (bool closed = false; !closed;) {
        ASSERT_TRUE(messages.wait_until(soon()));
        closed = messages.closed();
        for (auto taken = messages.take(100); !taken.empty(); taken = messages.take(100)) {
            read(taken);
        }
    }
    for (auto& each : threads) {
        each.join();
    }
    closing.join();

    EXPECT_EQ(out_of_order, 0U);
    auto const counts = messages.counts();
    std::uint64_t all_delivered = 0;
    std::uint64_t all_refused = 0;
    for (std::uint32_t of = 0; of < producers; ++of) {
        all_delivered += delivered.at(of);
        all_refused += refused.at(of);
        if (policy != when_full::drop_oldest) {
            EXPECT_EQ(delivered.at(of) + refused.at(of), each_pushes);
        }
    }
    EXPECT_EQ(counts.delivered, all_delivered);
    EXPECT_EQ(counts.refused, all_refused);
    EXPECT_EQ(counts.pushed, counts.delivered + counts.dropped);
    EXPECT_EQ(counts.pushed + counts.refused, std::uint64_t{producers} * each_pushes);
    EXPECT_EQ(counts.size, 0U);
    if (policy == when_full::block) {
        EXPECT_EQ(counts.pushed, counts.delivered);
    }
}

std::string name_of(testing::TestParamInfo<std::pair<when_full, std::ptrdiff_t>> const& info) {
    static constexpr std::array names{"block", "drop_oldest", "refuse"};
    auto const [policy, capacity] = info.param;
    return names.at(static_cast<std::size_t>(policy)) + std::string("_") + std::to_string(capacity);
}

INSTANTIATE_TEST_SUITE_P(
    Each, FourProducers,
    testing::Values(std::pair(when_full::block, 1), std::pair(when_full::block, 7),
                    std::pair(when_full::block, 10'000), std::pair(when_full::refuse, 7),
                    std::pair(when_full::refuse, 10'000), std::pair(when_full::drop_oldest, 7),
                    std::pair(when_full::drop_oldest, 10'000)),
    name_of);

TEST(ChannelClosed, DeliversWhatWasTakenWhileItWasBeingClosed) {
    constexpr int rounds = HANDOFF_PATIENCE > 1 ? 20 : 200;
    for (int round = 0; round < rounds; ++round) {
        channel<int> numbers(10'000);
        std::atomic<std::uint64_t> taken_in = 0;
        std::latch begun(2);
        std::vector<std::thread> threads;
        threads.reserve(2);
        for (int of = 0; of < 2; ++of) {
            threads.emplace_back([&, out = producer<int>(numbers)] {
                std::uint64_t own = 0;
                begun.count_down();
                while (out.push(0) == pushed::taken) {
                    ++own;
                }
                taken_in += own;
            });
        }
        begun.wait();
        numbers.close();
        // No push that is still in progress may bring anything after this.
        std::uint64_t const delivered = numbers.take(all).size();
        for (auto& each : threads) {
            each.join();
        }
        ASSERT_EQ(delivered, taken_in);
        ASSERT_EQ(numbers.counts().refused, 2U);
    }
}

TEST(ChannelConsumers, ShareWhatIsThere) {
    channel<int> numbers(16);
    constexpr std::uint64_t count = each_pushes;
    std::atomic<std::uint64_t> sum = 0;
    std::vector<std::thread> consumers;
    consumers.reserve(3);
    for (int n = 0; n < 3; ++n) {
        consumers.emplace_back([&] {
            for (bool closed = false; !closed;) {
                EXPECT_TRUE(numbers.wait_until(soon()));
                closed = numbers.closed();
                for (auto taken = numbers.take(5); !taken.empty(); taken = numbers.take(5)) {
                    for (int const each : taken) {
                        sum += static_cast<std::uint64_t>(each);
                    }
                }
            }
        });
    }
    producer<int> const out(numbers);
    for (std::uint64_t n = 0; n < count; ++n) {
        out.push(static_cast<int>(n));
    }
    out.close();
    for (auto& each : consumers) {
        each.join();
    }
    EXPECT_EQ(sum, count * (count - 1) / 2);
    EXPECT_EQ(numbers.counts().delivered, count);
}

/// Counts what it hears, and can be waited for.
class counting final : public handoff::channel_listener {
public:
    counting() = default;
    counting(counting const&) = delete;
    counting& operator=(counting const&) = delete;
    ~counting() override { withdraw(); }

    template <class T>
    void listen_to(channel<T> const& to) {
        listen(to.end());
    }
    void stop() { withdraw(); }
    [[nodiscard]] int heard() const { return heard_; }
    void wait_for(int times) const {
        for (int seen = heard_; seen < times; seen = heard_) {
            heard_.wait(seen);
        }
    }

protected:
    void hear() noexcept override {
        ++heard_;
        heard_.notify_all();
    }

private:
    std::atomic<int> heard_ = 0;
};

TEST(ChannelListener, HearsThePushOnce) {
    channel<int> numbers(8);
    counting heard;
    heard.listen_to(numbers);
    EXPECT_EQ(heard.heard(), 0);
    push_numbers(numbers, 3);
    EXPECT_EQ(heard.heard(), 1);
    EXPECT_THAT(numbers.take(all), ElementsAre(0, 1, 2));
    push_numbers(numbers, 1);
    EXPECT_EQ(heard.heard(), 1);
}

TEST(ChannelListener, HearsAtOnceWhatIsThereOrHasEnded) {
    counting heard;
    {
        channel<int> numbers(8);
        push_numbers(numbers, 1);
        heard.listen_to(numbers);
        EXPECT_EQ(heard.heard(), 1);
        static_cast<void>(numbers.take(all));
        numbers.close();
        heard.listen_to(numbers);
        EXPECT_EQ(heard.heard(), 2);
        heard.listen_to(numbers);
        EXPECT_EQ(heard.heard(), 3);
    }
    heard.stop();
}

TEST(ChannelListener, HearsTheCloseAndTheEndOfTheChannel) {
    counting first;
    counting second;
    {
        channel<int> numbers(8);
        first.listen_to(numbers);
        numbers.close();
        EXPECT_EQ(first.heard(), 1);
        channel<int> const dropped(8);
        second.listen_to(dropped);
    }
    EXPECT_EQ(second.heard(), 1);
}

TEST(ChannelListener, HearsWhatComesBackFromALoanAndTheEndOfTheLast) {
    channel<int> numbers(8);
    push_numbers(numbers, 1);
    counting heard;
    {
        handoff::loan const borrowed(numbers, all);
        heard.listen_to(numbers);
        EXPECT_EQ(heard.heard(), 0);
    }
    EXPECT_EQ(heard.heard(), 1);
    numbers.close();
    {
        handoff::loan borrowed(numbers, all);
        heard.listen_to(numbers);  // the value may come back
        EXPECT_EQ(heard.heard(), 1);
        borrowed.keep(1);
    }
    EXPECT_EQ(heard.heard(), 2);
    EXPECT_TRUE(numbers.ended());
}

TEST(ChannelListener, HearsNoMoreAfterItWasWithdrawn) {
    channel<int> numbers(8);
    counting first;
    counting second;
    first.listen_to(numbers);
    second.listen_to(numbers);
    first.stop();
    first.stop();
    push_numbers(numbers, 1);
    EXPECT_EQ(first.heard(), 0);
    EXPECT_EQ(second.heard(), 1);
}

TEST(ChannelListener, HearsBesideAThreadThatSleeps) {
    channel<int> numbers(8);
    counting heard;
    std::thread sleeping([&] { EXPECT_TRUE(numbers.wait_until(soon(), 2)); });
    heard.listen_to(numbers);
    push_numbers(numbers, 1);
    heard.wait_for(1);
    push_numbers(numbers, 1);
    sleeping.join();
    EXPECT_EQ(heard.heard(), 1);
}

TEST(ChannelListener, MissesNothingBesideBusyProducers) {
    static constexpr int each = 20'000;
    static constexpr int threads = 3;
    channel<int> numbers(16);
    std::vector<std::thread> pushing;
    pushing.reserve(threads);
    for (int of = 0; of < threads; ++of) {
        pushing.emplace_back([&numbers] { push_numbers(numbers, each); });
    }
    counting heard;
    std::size_t taken = 0;
    for (int times = 1; taken < std::size_t{threads} * each; ++times) {
        heard.listen_to(numbers);
        heard.wait_for(times);
        taken += numbers.take(all).size();
        EXPECT_EQ(heard.heard(), times);
    }
    for (auto& thread : pushing) {
        thread.join();
    }
    EXPECT_EQ(numbers.counts().delivered, taken);
}

TEST(ChannelListener, IsWithdrawnBesideBusyProducers) {
    channel<int> numbers(16, when_full::drop_oldest);
    std::atomic<bool> stop = false;
    std::thread pushing([&, out = producer<int>(numbers)] {
        while (!stop) {
            out.push(1);
        }
    });
    for (int times = 0; times < 20'000; ++times) {
        counting heard;
        heard.listen_to(numbers);
        static_cast<void>(numbers.take(all));
        if (times % 2 == 0) {
            heard.stop();
            heard.listen_to(numbers);
        }
    }
    stop = true;
    pushing.join();
}

TEST(ChannelAfterFork, NobodyIsToldInTheChildButOnceByItself) {
    channel<int> numbers(8);
    producer<int> const own(numbers);
    auto heard = std::make_unique<counting>();
    heard->listen_to(numbers);
    pid_t const child = fork();
    if (child == 0) {
        own.push(1);
        bool const silent = heard->heard() == 0;
        heard.reset();
        counting another;
        another.listen_to(numbers);
        _exit(silent && another.heard() == 1 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    own.push(1);
    EXPECT_EQ(heard->heard(), 1);
}

TEST(ChannelAfterFork, IsClosedAndEmptyInTheChild) {
    channel<int> numbers(8, when_full::drop_oldest);
    std::atomic<bool> stop = false;
    std::thread pushing([&, out = producer<int>(numbers)] {
        while (!stop) {
            out.push(1);
        }
    });
    producer<int> const own(numbers);
    own.push(1);
    handoff::loan borrowed(numbers, 1);
    for (int times = 0; times < 20; ++times) {
        pid_t const child = fork();
        if (child == 0) {
            bool const right = numbers.closed() && numbers.wait_until(at_once()) &&
                               numbers.take(all).empty() && numbers.size() == 0 &&
                               own.push(2) == pushed::closed &&
                               own.push_many(std::vector{3, 4}) == 0;
            bool const no_loan = handoff::loan(numbers, all).empty();
            borrowed.keep(0);
            numbers.close();
            {
                channel<int> another(1);
                producer<int>(another).push(1);
                _exit(right && no_loan && another.take(all).size() == 1 ? 0 : 1);
            }
        }
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    }
    stop = true;
    pushing.join();
    EXPECT_FALSE(numbers.closed());
}

}  // namespace
