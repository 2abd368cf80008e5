// Benchmarks of logging from native threads: what the thread pays, and what Python gets in a
// second.
//
// `producer` is the processor time that a thread takes to log one short record. `records` is the
// time from the first record until Python's handlers have had the last, for one record.
#include "../process.hpp"
#include <handoff/gil.hpp>
#include <handoff/logging.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

namespace {

namespace py = boost::python;

constexpr int in_a_burst = 4096;  // half of what the queue takes
constexpr int records = 40'000;
constexpr char const* text = "frame 123456 was late by 12 ms";

constexpr char const* logger = R"(
import logging
bench = logging.getLogger("bench")
bench.addHandler(logging.NullHandler())
bench.setLevel(logging.INFO)
bench.propagate = False
)";

std::chrono::duration<double> time_of_this_thread() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// What people write: the GIL for each record.
void log_with_the_gil(PyObject* info) {
    handoff::gil_acquire gil;
    Py_XDECREF(PyObject_CallFunction(info, "s", text));
}

handoff::gil_owned<py::object> bound_info() {
    return bench::python().invoke([] {
        return handoff::gil_owned<py::object>(py::import("__main__").attr("bench").attr("info"));
    });
}

handoff::log_sink opened(handoff::when_full policy) {
    handoff::log_sink const sink({.policy = policy});
    bench::python().invoke([&] {
        if (!sink.open()) {
            throw py::error_already_set();
        }
    });
    return sink;
}

/// One native thread's time for each record of a burst.
template <class Log, class After>
void of_one_thread(benchmark::State& times, int count, Log const& log, After const& after) {
    for (auto _ : times) {
        std::chrono::duration<double> taken{0};
        std::thread([&] {
            log();  // the thread is known from then on
            auto const begin = time_of_this_thread();
            for (int each = 0; each < count; ++each) {
                log();
            }
            taken = time_of_this_thread() - begin;
        }).join();
        times.SetIterationTime(taken.count() / count);
        after();
    }
}

void producer_handoff(benchmark::State& times) {
    auto const sink = opened(handoff::when_full::drop_oldest);
    handoff::logger const log(sink, "bench");
    of_one_thread(times, in_a_burst, [&] { log.info(text); }, [&] { sink.flush(); });
}

void producer_gil(benchmark::State& times) {
    auto const info = bound_info();
    of_one_thread(times, in_a_burst, [&] { log_with_the_gil(info.get().ptr()); }, [] {});
}

template <class Log, class After>
void of_all_threads(benchmark::State& times, Log const& log, After const& after) {
    auto const threads = static_cast<int>(times.range(0));
    for (auto _ : times) {
        auto const begin = std::chrono::steady_clock::now();
        {
            std::vector<std::jthread> all;
            for (int thread = 0; thread < threads; ++thread) {
                all.emplace_back([&] {
                    for (int each = 0; each < records / threads; ++each) {
                        log();
                    }
                });
            }
        }
        after();
        std::chrono::duration<double> const passed = std::chrono::steady_clock::now() - begin;
        times.SetIterationTime(passed.count() / records);
    }
    times.counters["records_per_second"] =
        benchmark::Counter(1, benchmark::Counter::kIsIterationInvariantRate);
}

void records_handoff(benchmark::State& times) {
    auto const sink = opened(handoff::when_full::block);
    handoff::logger const log(sink, "bench");
    of_all_threads(times, [&] { log.info(text); }, [&] { sink.flush(std::chrono::minutes(1)); });
}

void records_gil(benchmark::State& times) {
    auto const info = bound_info();
    of_all_threads(times, [&] { log_with_the_gil(info.get().ptr()); }, [] {});
}

void settings(benchmark::internal::Benchmark* each) { each->UseManualTime()->Iterations(1); }
void from_one_and_four(benchmark::internal::Benchmark* each) {
    settings(each);
    each->ArgName("threads")->Arg(1)->Arg(4);
}

BENCHMARK(producer_handoff)->Name("producer/handoff")->Apply(settings);
BENCHMARK(producer_gil)->Name("producer/gil")->Apply(settings);
BENCHMARK(records_handoff)->Name("records/handoff")->Apply(from_one_and_four);
BENCHMARK(records_gil)->Name("records/gil")->Apply(from_one_and_four);

}  // namespace

int main(int argc, char** argv) {
    return bench::run(argc, argv, [] { bench::python().run_string(logger); });
}
