// Benchmarks of the GIL's guards, on a native thread of a process whose main thread is idle.
#include <handoff/interpreter.hpp>

#include <benchmark/benchmark.h>

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    handoff::interpreter python;
    python.start();  // returns with the GIL released
    benchmark::RunSpecifiedBenchmarks();
    python.stop();
}
