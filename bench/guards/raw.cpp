// The limit: CPython's own calls, with a thread state made once.
#include "native_thread.hpp"
#include <handoff/gil/python.hpp>

#include <benchmark/benchmark.h>

namespace {

/// The thread's state, as a careful user of the C API keeps it.
class kept_state {
public:
    kept_state() : state_(PyThreadState_New(PyInterpreterState_Main())) {}
    ~kept_state() {
        PyEval_RestoreThread(state_);
        PyThreadState_Clear(state_);
        PyThreadState_DeleteCurrent();
    }
    kept_state(kept_state const&) = delete;
    kept_state& operator=(kept_state const&) = delete;

    [[nodiscard]] PyThreadState* get() const { return state_; }

private:
    PyThreadState* state_;
};

void acquire_release(benchmark::State& times) {
    on_a_native_thread([&] {
        kept_state const own;
        for (auto _ : times) {
            PyEval_RestoreThread(own.get());
            benchmark::ClobberMemory();
            PyEval_SaveThread();
        }
    });
}
BENCHMARK(acquire_release)->Name("acquire_release/raw");

void nested(benchmark::State& times) {
    on_a_native_thread([&] {
        kept_state const own;
        PyEval_RestoreThread(own.get());
        for (auto _ : times) {
            benchmark::DoNotOptimize(PyGILState_Check());
        }
        PyEval_SaveThread();
    });
}
BENCHMARK(nested)->Name("nested/raw");

}  // namespace
