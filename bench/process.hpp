// A benchmark program's Python, and its run of Google Benchmark.
#pragma once

#include <handoff/interpreter.hpp>

#include <benchmark/benchmark.h>

namespace bench {

/// The process's Python; what the benchmarks need built in is added to it before run().
inline handoff::interpreter& python() {
    static handoff::interpreter only;
    return only;
}

/// Runs the benchmarks that the command line asks for, with Python started and its GIL free.
/// Returns: the exit code.
inline int run(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    python().start();
    benchmark::RunSpecifiedBenchmarks();
    python().stop();
    return 0;
}

}  // namespace bench
