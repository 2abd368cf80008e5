// nanobind's guard, as it is used, and on a thread whose state an outer one keeps.
#include "native_thread.hpp"

#include <nanobind/nanobind.h>

#include <benchmark/benchmark.h>

namespace {

void plain(benchmark::State& times) {
    on_a_native_thread([&] {
        for (auto _ : times) {
            nanobind::gil_scoped_acquire const gil;
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(plain)->Name("plain/nanobind");

void kept(benchmark::State& times) {
    on_a_native_thread([&] {
        nanobind::gil_scoped_acquire const keeps_the_state;
        nanobind::gil_scoped_release const meanwhile;
        for (auto _ : times) {
            nanobind::gil_scoped_acquire const gil;
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(kept)->Name("kept/nanobind");

}  // namespace
