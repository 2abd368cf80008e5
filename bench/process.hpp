// A benchmark program's Python, its processor time, and its run of Google Benchmark.
#pragma once

#include <handoff/interpreter.hpp>

#include <benchmark/benchmark.h>
#include <chrono>
#include <ctime>

namespace bench {

/// The process's Python; what the benchmarks need built in is added to it before run().
inline handoff::interpreter& python() {
    static handoff::interpreter only;
    return only;
}

/// The processor time that the process has taken, in all of its threads.
inline std::chrono::duration<double> processor_time() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// Prepares, and runs the benchmarks that the command line asks for, with Python started and its
/// GIL free.
/// Returns: the exit code.
template <class Prepare>
int run(int argc, char** argv, Prepare const& prepare) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    python().start();
    prepare();
    benchmark::RunSpecifiedBenchmarks();
    python().stop();
    return 0;
}

inline int run(int argc, char** argv) {
    return run(argc, argv, [] {});
}

}  // namespace bench
