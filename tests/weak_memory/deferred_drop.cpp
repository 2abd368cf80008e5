// The list of what is to be dropped under the GIL: each is dropped once, with all that it owned.
#include "../../extension/gil/deferred_drop.cpp"

#include "check.hpp"
#include "embedded.hpp"
#include <handoff/gil/detail/deferred_drop.hpp>

namespace {

using handoff::detail::deferred_drop;
using handoff::detail::deferred_drops;

/// Two threads without the GIL give up one object each; a third takes the GIL now and then, and
/// Python's main thread makes its pending calls.
struct dropped_by_others : rl::test_suite<dropped_by_others, 3> {
    struct owner final : deferred_drop {
        explicit owner(dropped_by_others& test, unsigned which) : test_(test), which_(which) {}
        ~owner() override {
            RL_ASSERT(test_.owned[which_]($) == 7);  // as it was left
            test_.owned[which_]($) = 0;
        }

    private:
        dropped_by_others& test_;
        unsigned which_;
    };

    modelled::python python;
    deferred_drops list;
    rl::var<int> owned[2];

    void before() { owned[0]($) = owned[1]($) = 1; }

    void thread(unsigned me) {
        if (me < 2) {
            auto mine = std::make_unique<owner>(*this, me);
            owned[me]($) = 7;
            list.add(std::move(mine));
            return;
        }
        for (int time = 0; time < 2; ++time) {
            modelled::with_gil held;
            list.drop_if_any();
            python.make_pending_calls();
        }
    }

    /// Nobody comes any more but the pending call that was asked for.
    void after() {
        python.make_pending_calls();
        RL_ASSERT(owned[0]($) == 0 && owned[1]($) == 0);
    }
};

}  // namespace

namespace handoff::detail {

unsigned long watched_python_life() { return python_life(); }

// The gate, which nobody has opened.
constinit thread_local thread_at_gate* this_thread_at_gate = nullptr;
void thread_at_gate::tell_that_one_is_out() noexcept {}
void passage::ask() noexcept { answer_ = admission::never_opened; }
void passage::forget_name() noexcept {}
bool passage::python_is_there() const noexcept { return true; }

}  // namespace handoff::detail

int main() { return modelled::check<dropped_by_others>("deferred_drop", 5000); }
