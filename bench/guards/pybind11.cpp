// pybind11's guard, as it is used, and on a thread whose state an outer one keeps.
#include "native_thread.hpp"

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/pybind11.h>

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

void kept(benchmark::State& times) {
    on_a_native_thread([&] {
        pybind11::gil_scoped_acquire const keeps_the_state;
        pybind11::gil_scoped_release const meanwhile;
        for (auto _ : times) {
            pybind11::gil_scoped_acquire const gil;
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(kept)->Name("kept/pybind11");

void once(benchmark::State& times) {
    PYBIND11_CONSTINIT static pybind11::gil_safe_call_once_and_store<int> value;
    on_a_native_thread([&] {
        pybind11::gil_scoped_acquire const gil;
        for (auto _ : times) {
            benchmark::DoNotOptimize(
                value.call_once_and_store_result([] { return 1; }).get_stored());
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(once)->Name("once/pybind11");

}  // namespace
