// The channel's lock and its doorbell: nothing is lost, torn or slept through on any processor.
#include "../../extension/channel/channel.cpp"

#include "check.hpp"
#include <handoff/channel.hpp>

namespace {

/// A value of which Relacy sees each access.
struct sample {
    explicit sample(int value) { number_($) = value; }
    sample(sample&& other) noexcept { number_($) = other.number(); }
    sample& operator=(sample&& other) noexcept {
        number_($) = other.number();
        return *this;
    }
    [[nodiscard]] int number() const { return number_($); }

private:
    rl::var<int> number_;
};

using handoff::channel;
using handoff::when_full;

/// Two threads push into a channel that is smaller than what they push; one takes.
struct two_producers : rl::test_suite<two_producers, 3> {
    static constexpr int each_pushes = 2;

    channel<sample> samples{1, when_full::block};
    int last[2] = {};

    void thread(unsigned me) {
        if (me < 2) {
            handoff::producer<sample> out(samples);
            for (int number = 1; number <= each_pushes; ++number) {
                RL_ASSERT(out.push(sample(10 * number + static_cast<int>(me))) ==
                          handoff::pushed::taken);
            }
            return;
        }
        for (int left = 2 * each_pushes; left > 0;) {
            samples.wait_until({});
            for (sample const& each : samples.take(8)) {
                int const number = each.number() / 10;
                int& before = last[each.number() % 10];
                RL_ASSERT(number == before + 1);
                before = number;
                --left;
            }
        }
    }
};

/// One pushes until it is told that the channel is closed; the other takes one and closes it.
struct closed_meanwhile : rl::test_suite<closed_meanwhile, 2> {
    channel<sample> samples{1, when_full::block};
    int taken = 0;

    void thread(unsigned me) {
        if (me == 0) {
            handoff::producer<sample> out(samples);
            int pushed = 0;
            while (out.push(sample(pushed)) == handoff::pushed::taken) {
                ++pushed;
            }
            RL_ASSERT(pushed >= 1);
            return;
        }
        samples.wait_until({});
        RL_ASSERT(!samples.take(1).empty());
        samples.close();
    }
};

}  // namespace

int main() { return modelled::check<two_producers, closed_meanwhile>("extension/channel", 3000); }
