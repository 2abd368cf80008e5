// The answer that is passed around: PyGILState_Ensure() in a constructor.
#include "native_thread.hpp"
#include <handoff/gil/python.hpp>

#include <benchmark/benchmark.h>

namespace {

class ensured {
public:
    ensured() : found_(PyGILState_Ensure()) {}
    ~ensured() { PyGILState_Release(found_); }
    ensured(ensured const&) = delete;
    ensured& operator=(ensured const&) = delete;

private:
    PyGILState_STATE found_;
};

void plain(benchmark::State& times) {
    on_a_native_thread([&] {
        for (auto _ : times) {
            ensured const gil;
            benchmark::ClobberMemory();
        }
    });
}
BENCHMARK(plain)->Name("plain/seed");

}  // namespace
