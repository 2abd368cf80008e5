// Benchmarks of a channel: messages from one and from four threads to Python.
//
// A time is that from the first push until Python has the last message, for one message. Beside it
// `cpu` is the processor time of all threads, for one message, too.
#include "../process.hpp"
#include <handoff/channel_class.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <span>
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
constexpr number messages = 2'000'000;         // a measurement
constexpr number messages_of_python = 200'000;  // of the slow ones

constexpr char const* consumers = R"(
import queue
import threading

from numpy import asarray

def objects(channel, count):
    while count > 0:
        count -= len(channel.get_many(4096))

def items(channel, count):
    for _ in range(count):
        channel.get()

def batches(channel, count):
    while count > 0:
        count -= len(asarray(channel.get_batch(65536)))

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

/// Measures `work`, which brings so many messages to Python.
template <class Work>
void measure(benchmark::State& times, number count, Work const& work) {
    auto const each = static_cast<double>(count);
    std::chrono::duration<double> spent{0};
    for (auto _ : times) {
        auto const processor = bench::processor_time();
        auto const begin = std::chrono::steady_clock::now();
        work();
        std::chrono::duration<double> const passed = std::chrono::steady_clock::now() - begin;
        spent += bench::processor_time() - processor;
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

template <class T>
void push_each(handoff::producer<T> const& out, number count) {
    for (number n = 0; n < count; ++n) {
        out.push(value_of<T>(n));
    }
}

/// As a device that fills a kilobyte before it interrupts.
template <class T>
void push_blocks(handoff::producer<T> const& out, number count) {
    std::array<T, 1024 / sizeof(T)> block;
    for (number n = 0; n < count;) {
        auto const length = std::min<number>(block.size(), count - n);
        for (number k = 0; k < length; ++k, ++n) {
            block[static_cast<std::size_t>(k)] = value_of<T>(n);
        }
        out.push_many(std::span(block).first(static_cast<std::size_t>(length)));
    }
}

/// Native threads push; Python's main thread consumes.
template <class T>
void from_channel(benchmark::State& times, char const* consumer, number count,
                  void (*push)(handoff::producer<T> const&, number) = &push_each<T>) {
    auto const threads = static_cast<number>(times.range(0));
    number const each = count / threads;
    measure(times, count, [&] {
        handoff::channel<T> values(capacity);
        std::vector<std::jthread> producers;
        producers.reserve(static_cast<std::size_t>(threads));
        for (number of = 0; of < threads; ++of) {
            producers.emplace_back(push, handoff::producer<T>(values), each);
        }
        bench::python().invoke(
            [&] { py::import("__main__").attr(consumer)(py::ptr(&values), count); });
    });
}

void from_simple_queue(benchmark::State& times) {
    measure(times, messages_of_python, [&] {
        bench::python().invoke([&] {
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
        bench::python().invoke([&] { list = PyList_New(0); });
        std::thread([list] {
            for (number n = 0; n < messages_of_python; ++n) {
                PyGILState_STATE const found = PyGILState_Ensure();
                append(list, n);
                PyGILState_Release(found);
            }
        }).join();
        bench::python().invoke([&] { Py_DECREF(list); });
    });
}

/// The limit for Python objects: nobody hands anything over.
void from_loop(benchmark::State& times) {
    measure(times, messages, [&] {
        bench::python().invoke([&] {
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
void batches_of_blocks(benchmark::State& times) {
    from_channel<sample>(times, "batches", messages, &push_blocks<sample>);
}

void settings(benchmark::internal::Benchmark* each) { each->UseManualTime()->Iterations(1); }
void from_one_and_four(benchmark::internal::Benchmark* each) {
    settings(each);
    each->ArgName("threads")->Arg(1)->Arg(4);
}

BENCHMARK(from_seed)->Name("objects/seed")->Apply(settings);
BENCHMARK(from_loop)->Name("objects/loop")->Apply(settings);
BENCHMARK(from_simple_queue)->Name("objects/simple_queue")->Apply(from_one_and_four);
BENCHMARK(items)->Name("objects/get")->Apply(from_one_and_four);
BENCHMARK(objects)->Name("objects/get_many")->Apply(from_one_and_four);
BENCHMARK(batches)->Name("numpy/get_batch")->Apply(from_one_and_four);
BENCHMARK(batches_of_blocks)->Name("numpy/get_batch_of_blocks")->Apply(from_one_and_four);

}  // namespace

BOOST_PYTHON_MODULE(bench_channel) {
    handoff::channel_class<number> const numbers("Numbers");
    handoff::channel_class<sample>("Samples")
        .field("time", &sample::time)
        .field("value", &sample::value);
}

int main(int argc, char** argv) {
    bench::python().add_module("bench_channel", &PyInit_bench_channel);
    return bench::run(argc, argv, [] {
        bench::python().run_string(consumers);
        bench::python().invoke([] { py::import("bench_channel"); });
    });
}
