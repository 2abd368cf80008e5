// nanobind's guard.
#include <nanobind/nanobind.h>

#include "native_thread.hpp"

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

}  // namespace
