// Benchmarks of a channel: messages from one and from four threads to Python.
//
// A time is that from the first push until Python has the last message, for one message. Beside it
// `cpu` is the processor time of all threads, for one message, too.
#include <handoff/channel_class.hpp>
#include <handoff/gil.hpp>
#include <handoff/interpreter.hpp>

#include <boost/python.hpp>

#include <benchmark/benchmark.h>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <thread>
#include <vector>

namespace {

namespace py = boost::python;

using number = std::int64_t;

struct sample {
    double time;
    double value;
};

constexpr std::ptrdiff_t capacity = 65536;
constexpr number messages = 20'000'000;        // a measurement
constexpr number messages_of_python = 200'000;  // of the slow ones

constexpr char const* consumers = R"(
import queue
import threading

try:
    from numpy import asarray as look
except ImportError:
    look = memoryview

def objects(channel, count):
    while count > 0:
        count -= len(channel.get_many(4096))

def items(channel, count):
    for _ in range(count):
        channel.get()

def batches(channel, count):
    while count > 0:
        count -= len(look(channel.get_batch(65536)))

def simple_queue(threads, count):
    messages = queue.SimpleQueue()
    def put():
        for n in range(count // threads):
            messages.put(n)
    started = [threading.Thread(target=put) for _ in range(threads)]
    for thread in started:
        thread.start()
    for _ in range(count):
        messages.get()
    for thread in started:
        thread.join()
)";

handoff::interpreter& python() {
    static handoff::interpreter only;
    return only;
}

/// Of all threads.
std::chrono::duration<double> processor_time() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// Measures `work`, which brings so many messages to Python.
template <class Work>
void measure(benchmark::State& times, number count, Work const& work) {
    auto const each = static_cast<double>(count);
    std::chrono::duration<double> spent{0};
    for (auto _ : times) {
        auto const processor = processor_time();
        auto const begin = std::chrono::steady_clock::now();
        work();
        std::chrono::duration<double> const passed = std::chrono::steady_clock::now() - begin;
        spent += processor_time() - processor;
        times.SetIterationTime(passed.count() / each);
    }
    times.counters["cpu"] =
        benchmark::Counter(spent.count() / each, benchmark::Counter::kAvgIterations);
    times.counters["messages_per_second"] =
        benchmark::Counter(1, benchmark::Counter::kIsIterationInvariantRate);
}

template <class T>
T value_of(number n) {
    if constexpr (std::is_same_v<T, sample>) {
        return {.time = static_cast<double>(n), .value = 1.0};
    } else {
        return n;
    }
}

/// Native threads push single values; Python's main thread consumes them.
template <class T>
void from_channel(benchmark::State& times, char const* consumer, number count) {
    auto const threads = static_cast<number>(times.range(0));
    number const each = count / threads;
    measure(times, count, [&] {
        handoff::channel<T> values(capacity);
        std::vector<std::jthread> producers;
        for (number of = 0; of < threads; ++of) {
            producers.emplace_back([each, out = handoff::producer<T>(values)] {
                for (number n = 0; n < each; ++n) {
                    out.push(value_of<T>(n));
                }
            });
        }
        python().invoke([&] { py::import("__main__").attr(consumer)(py::ptr(&values), count); });
    });
}

void from_simple_queue(benchmark::State& times) {
    measure(times, messages_of_python, [&] {
        python().invoke([&] {
            py::import("__main__").attr("simple_queue")(times.range(0), messages_of_python);
        });
    });
}

void append(PyObject* list, number n) {
    PyObject* const object = PyLong_FromSsize_t(n);
    PyList_Append(list, object);
    Py_DECREF(object);
}

/// The answer that is passed around: a hold of the GIL for each message.
void from_seed(benchmark::State& times) {
    measure(times, messages_of_python, [] {
        PyObject* list = nullptr;
        python().invoke([&] { list = PyList_New(0); });
        std::thread([list] {
            for (number n = 0; n < messages_of_python; ++n) {
                PyGILState_STATE const found = PyGILState_Ensure();
                append(list, n);
                PyGILState_Release(found);
            }
        }).join();
        python().invoke([&] { Py_DECREF(list); });
    });
}

/// The limit for Python objects: nobody hands anything over.
void from_loop(benchmark::State& times) {
    measure(times, messages, [&] {
        python().invoke([&] {
            py::handle<> const list(PyList_New(0));
            for (number n = 0; n < messages; ++n) {
                append(list.get(), n);
            }
        });
    });
}

void objects(benchmark::State& times) { from_channel<number>(times, "objects", messages); }
void items(benchmark::State& times) { from_channel<number>(times, "items", messages_of_python); }
void batches(benchmark::State& times) { from_channel<sample>(times, "batches", messages); }

void settings(benchmark::internal::Benchmark* each) { each->UseManualTime()->Iterations(3); }
void from_one_and_four(benchmark::internal::Benchmark* each) {
    settings(each);
    each->ArgName("threads")->Arg(1)->Arg(4);
}

BENCHMARK(from_seed)->Name("channel/objects/seed")->Apply(settings);
BENCHMARK(from_loop)->Name("channel/objects/loop")->Apply(settings);
BENCHMARK(from_simple_queue)->Name("channel/objects/simple_queue")->Apply(from_one_and_four);
BENCHMARK(items)->Name("channel/objects/get")->Apply(from_one_and_four);
BENCHMARK(objects)->Name("channel/objects/get_many")->Apply(from_one_and_four);
BENCHMARK(batches)->Name("channel/numpy/get_batch")->Apply(from_one_and_four);

}  // namespace

BOOST_PYTHON_MODULE(bench_channel) {
    handoff::channel_class<number>("Numbers");
    handoff::channel_class<sample>("Samples")
        .field("time", &sample::time)
        .field("value", &sample::value);
}

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    python().add_module("bench_channel", &PyInit_bench_channel);
    python().start();
    python().run_string(consumers);
    python().invoke([] { py::import("bench_channel"); });
    benchmark::RunSpecifiedBenchmarks();
    python().stop();
}
