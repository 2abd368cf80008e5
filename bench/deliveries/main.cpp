// Benchmarks of a delivery: a message appended to a list, and one that a Python function is given.
//
// Times are processor time of the whole process, for one message, at saturation: the next is always
// due. The limit is a loop in C that holds the GIL all the while.
#include <handoff/foo.hpp>
#include <handoff/gil.hpp>
#include <handoff/interpreter.hpp>

#include <boost/python.hpp>

#include <benchmark/benchmark.h>

#include <chrono>
#include <ctime>
#include <string>
#include <thread>

namespace {

namespace py = boost::python;

constexpr Py_ssize_t messages = 1'000'000;  // a measurement

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

/// Measures `work`, which delivers so many messages and returns how many they were, a message.
template <class Work>
void measure(benchmark::State& times, Work const& work) {
    for (auto _ : times) {
        auto const before = processor_time();
        auto const delivered = static_cast<double>(work());
        times.SetIterationTime(((processor_time() - before) / delivered).count());
    }
}

/// None, or a function of one argument that does nothing.
py::object callback(bool is_called) {
    return is_called ? py::eval("lambda n: None") : py::object();
}

void loop(benchmark::State& times, bool calls) {
    measure(times, [calls] {
        std::thread([calls] {
            handoff::gil_acquire const gil;
            py::list const appended;
            py::object const called = callback(calls);
            for (Py_ssize_t n = 0; n < messages; ++n) {
                PyObject* const number = PyLong_FromSsize_t(n);
                PyList_Append(appended.ptr(), number);
                if (calls) {
                    Py_XDECREF(PyObject_CallOneArg(called.ptr(), number));
                }
                Py_DECREF(number);
            }
        }).join();
        return messages;
    });
}

void foo(benchmark::State& times, bool calls) {
    measure(times, [calls] {
        return python().invoke([calls] {
            py::object const made = py::import("Foo").attr("Foo")(1e-9, callback(calls));
            made.attr("start")();
            made.attr("wait")(messages);
            made.attr("stop")();
            return py::len(made);
        });
    });
}

BENCHMARK_CAPTURE(loop, append, false)->Name("append/loop")->UseManualTime()->Iterations(1);
BENCHMARK_CAPTURE(foo, append, false)->Name("append/foo")->UseManualTime()->Iterations(1);
BENCHMARK_CAPTURE(loop, call, true)->Name("call/loop")->UseManualTime()->Iterations(1);
BENCHMARK_CAPTURE(foo, call, true)->Name("call/foo")->UseManualTime()->Iterations(1);

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    python().add_module("Foo", &PyInit_Foo);
    python().start();
    benchmark::RunSpecifiedBenchmarks();
    python().stop();
}
