// The limit: CPython's own calls, with a thread state made once.
#include "native_thread.hpp"
#include "raw_state.hpp"

#include <benchmark/benchmark.h>
#include <mutex>

namespace {

void nested(benchmark::State& times) {
    on_a_native_thread([&] {
        raw_state const own;
        PyEval_RestoreThread(own.get());
        for (auto _ : times) {
            benchmark::DoNotOptimize(PyGILState_Check());
        }
        PyEval_SaveThread();
    });
}
BENCHMARK(nested)->Name("nested/raw");

void lock(benchmark::State& times) {
    on_a_native_thread([&] {
        std::mutex free;
        for (auto _ : times) {
            std::scoped_lock const held(free);
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(lock)->Name("lock/std_mutex");

/// A static of C++'s, whose initialiser must not run Python code.
void once(benchmark::State& times) {
    on_a_native_thread([&] {
        for (auto _ : times) {
            static int volatile const source = 1;
            static int const value = source;
            benchmark::DoNotOptimize(&value);
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(once)->Name("once/static");

}  // namespace
