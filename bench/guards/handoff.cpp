// Ours: gil_acquire, on a thread that did not attach by hand, and nested.
#include "native_thread.hpp"
#include <handoff/gil.hpp>

#include <benchmark/benchmark.h>
#include <mutex>

namespace {

void plain(benchmark::State& times) {
    on_a_native_thread([&] {
        for (auto _ : times) {
            handoff::gil_acquire const gil;
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(plain)->Name("plain/handoff");

void nested(benchmark::State& times) {
    on_a_native_thread([&] {
        handoff::gil_attachment const attached;
        handoff::gil_acquire const outer;
        for (auto _ : times) {
            handoff::gil_acquire const gil;
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(nested)->Name("nested/handoff");

void try_acquire(benchmark::State& times) {
    on_a_native_thread([&] {
        handoff::gil_attachment const attached;
        for (auto _ : times) {
            handoff::gil_try_acquire const gil;
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(try_acquire)->Name("try_acquire/handoff");

void lock(benchmark::State& times) {
    on_a_native_thread([&] {
        handoff::gil_acquire const gil;
        std::mutex free;
        for (auto _ : times) {
            handoff::gil_lock const held(free);
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(lock)->Name("lock/handoff");

void once(benchmark::State& times) {
    static constinit handoff::gil_once<int> value;
    on_a_native_thread([&] {
        handoff::gil_acquire const gil;
        for (auto _ : times) {
            benchmark::DoNotOptimize(value.get([] { return 1; }));
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(once)->Name("once/handoff");

}  // namespace
