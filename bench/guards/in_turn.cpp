// Ours on a thread that attached by hand, and CPython's own calls, in turn: they differ by little.
#include "native_thread.hpp"
#include "raw_state.hpp"
#include <handoff/gil.hpp>

#include <benchmark/benchmark.h>
#include <chrono>
#include <ctime>

namespace {

constexpr int rounds = 50'000;  // a few milliseconds
constexpr int turns = 10;       // a repetition

/// The calling thread's processor time, in seconds, that one of `rounds` takes.
template <class Round>
double a_round(Round const& once) {
    auto const now = [] {
        timespec read{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &read);
        return std::chrono::duration<double>(std::chrono::seconds(read.tv_sec) +
                                             std::chrono::nanoseconds(read.tv_nsec));
    };
    auto const before = now();
    for (int each = 0; each < rounds; ++each) {
        once();
    }
    return (now() - before).count() / rounds;
}

void acquire_release(benchmark::State& times) {
    for ([[maybe_unused]] auto _ : times) {
        double raw = 0;
        double handoff = 0;
        for (int each = 0; each < turns; ++each) {
            on_a_native_thread([&] {
                raw_state const own;
                raw += a_round([&] {
                    PyEval_RestoreThread(own.get());
                    benchmark::ClobberMemory();
                    PyEval_SaveThread();
                });
            });
            on_a_native_thread([&] {
                handoff::gil_attachment const attached;
                handoff += a_round([] {
                    handoff::gil_acquire const gil;
                    benchmark::ClobberMemory();
                });
            });
        }
        times.counters["raw"] = raw / turns;
        times.counters["handoff"] = handoff / turns;
    }
}
BENCHMARK(acquire_release)->Name("acquire_release/in_turn")->Iterations(1);

}  // namespace
