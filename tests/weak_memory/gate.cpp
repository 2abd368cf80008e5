// The gate: Python does not end under a thread that was let in, on any processor.
#include "../../extension/gil/gate.cpp"

#include "check.hpp"
#include "embedded.hpp"
#include <handoff/gil/gate.hpp>

namespace handoff::detail {

namespace {
bool the_kernel_fences = true;
bool the_kernel_fails = false;
std::function<void()> fence_threads;
}  // namespace

// Nothing is dropped here.
unsigned long watched_python_life() { return python_life(); }
void deferred_drops::drop() noexcept {}

void prepare_to_fence_others() noexcept { others_can_be_fenced = the_kernel_fences; }

/// membarrier(): every thread executes a fence between two of its instructions.
void fence_others() noexcept {
    if (the_kernel_fences && !the_kernel_fails) {
        fence_threads();
    }
}

}  // namespace handoff::detail

namespace {

using handoff::gil_gate;
using handoff::detail::fence_threads;
using handoff::detail::gate_state;
using handoff::detail::passage;

/// Has each run of a test begin with a gate that nobody has opened.
void begin_gate() {
    gate_state& gate = gate_state::only();
    [[maybe_unused]] static bool const unmade = (std::destroy_at(&gate), true);
    std::construct_at(&gate);
}

void end_of_gate() {
    gate_state& gate = gate_state::only();
    while (gate.first != nullptr) {
        delete std::exchange(gate.first, gate.first->next);
    }
    std::destroy_at(&gate);
}

/// What a test of the gate begins and ends with.
template <class Test, unsigned Threads>
struct gate_test : rl::test_suite<Test, Threads> {
    modelled::python python;
    modelled::fences<Threads> fences;
    rl::var<bool> has_ended;

    void before() {
        fence_threads = [this] { fences.fence_all(); };
        begin_gate();
        has_ended($) = false;
        RL_ASSERT(gil_gate::open());
    }

    void after() { end_of_gate(); }

    void begin_thread() {
        handoff::detail::this_thread_at_gate = nullptr;
        fences.begin_thread();
    }

    /// As a native thread. What it does with the GIL, it does before Python has ended.
    void ask_for_the_gil() {
        passage in;
        static_cast<void>(in.unless_abandoned([&] { RL_ASSERT(!has_ended($)); }, [] {}));
    }
};

/// Two native threads come and go while Python closes the gate, and then ends.
struct closing : gate_test<closing, 3> {
    void thread(unsigned me) {
        begin_thread();
        if (me == 0) {
            modelled::with_gil held;
            RL_ASSERT(gil_gate::close());
            has_ended($) = true;
            return;
        }
        for (int time = 0; time < 2; ++time) {
            passage const in;
            if (in.admitted()) {
                RL_ASSERT(!has_ended($));
            }
        }
    }
};

/// Two native threads ask for the GIL while Python, which has waited in vain, abandons them and
/// ends.
struct abandoning : gate_test<abandoning, 3> {
    void thread(unsigned me) {
        begin_thread();
        if (me > 0) {
            ask_for_the_gil();
            return;
        }
        gate_state& gate = gate_state::only();
        {
            std::scoped_lock const held(gate.mutex);
            gate.now = gate_state::phase::closing;
            gate.fence_those_on_their_way();
        }
        gate.abandon_all(gate.openings, false);
        has_ended($) = true;
    }
};

/// A native thread was given up before; it still asks for the GIL while Python ends.
struct given_up : gate_test<given_up, 2> {
    void thread(unsigned me) {
        begin_thread();
        if (me > 0) {
            ask_for_the_gil();
            return;
        }
        modelled::with_gil held;
        gil_gate::abandon(pthread_self());  // of both: they are fibers of one
        RL_ASSERT(gil_gate::close());
        has_ended($) = true;
    }
};

}  // namespace

int main() {
    modelled::of_each_thread.push_back(
        reinterpret_cast<void**>(&handoff::detail::this_thread_at_gate));
    std::freopen("/dev/null", "w", stderr);  // who is abandoned is told of there
    for (bool const kernel : {true, false}) {
        handoff::detail::the_kernel_fences = kernel;
        std::cout << (kernel ? "with" : "without") << " membarrier()\n";
        if (int const failed = modelled::check<closing, abandoning, given_up>(
                "extension/gil", 3000, modelled::weakened_orders::told_of)) {
            return failed;
        }
    }
    // And the tests see where the kernel does not do what it is asked for.
    handoff::detail::the_kernel_fails = true;
    handoff::detail::the_kernel_fences = true;
    return modelled::holds<closing>(3000) || modelled::holds<abandoning>(3000) ? 3 : 0;
}
