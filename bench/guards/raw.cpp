// The limit: CPython's own calls, with a thread state made once.
#include "native_thread.hpp"
#include "raw_state.hpp"

#include <benchmark/benchmark.h>

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

}  // namespace
