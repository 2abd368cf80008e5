// pybind11's guard.
#include <pybind11/pybind11.h>

#include "native_thread.hpp"

#include <benchmark/benchmark.h>

namespace {

void plain(benchmark::State& times) {
    on_a_native_thread([&] {
        for (auto _ : times) {
            pybind11::gil_scoped_acquire const gil;
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(plain)->Name("plain/pybind11");

}  // namespace
