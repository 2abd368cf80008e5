// Benchmarks of a delivery: a message appended to a list, and one that a Python function is given.
//
// Times are processor time of the whole process, for one message, at saturation: the next is always
// due. The limit is a loop in C that holds the GIL all the while.
#include "../process.hpp"
#include <handoff/foo.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <malloc.h>
#include <thread>

namespace {

namespace py = boost::python;

constexpr Py_ssize_t messages = 1'000'000;  // a measurement

/// Measures `work`, which delivers so many messages and returns how many they were, a message.
template <class Work>
void measure(benchmark::State& times, Work const& work) {
    for (auto _ : times) {
        auto const before = bench::processor_time();
        auto const delivered = static_cast<double>(work());
        times.SetIterationTime(((bench::processor_time() - before) / delivered).count());
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
        return bench::python().invoke([calls] {
            py::object const made = py::import("Foo").attr("Foo")(1e-9, callback(calls));
            made.attr("start")();
            made.attr("wait")(messages);
            made.attr("stop")();
            return py::len(made);
        });
    });
}

/// The answer that is passed around: a thread of its own, and the GIL for each message.
void seed(benchmark::State& times) {
    measure(times, [] {
        return bench::python().invoke([] {
            py::list appended;
            handoff::gil_release const while_joining;
            std::thread([&appended] {
                for (Py_ssize_t n = 0; n < messages; ++n) {
                    PyGILState_STATE const found = PyGILState_Ensure();
                    appended.append(py::len(appended));
                    PyGILState_Release(found);
                }
            }).join();
            return messages;
        });
    });
}

BENCHMARK_CAPTURE(loop, append, false)->Name("append/loop")->UseManualTime()->Iterations(1);
BENCHMARK_CAPTURE(foo, append, false)->Name("append/foo")->UseManualTime()->Iterations(1);
BENCHMARK(seed)->Name("append/seed")->UseManualTime()->Iterations(1);
BENCHMARK_CAPTURE(loop, call, true)->Name("call/loop")->UseManualTime()->Iterations(1);
BENCHMARK_CAPTURE(foo, call, true)->Name("call/foo")->UseManualTime()->Iterations(1);

/// Has a list grow where it is. As glibc comes, it copies that of a thread that lives on, the
/// Foo's, and not that of one which has the memory of its forerunner, the loop's: realloc() was
/// compared.
void let_lists_grow() {
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TOP_PAD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
}

}  // namespace

int main(int argc, char** argv) {
    let_lists_grow();
    bench::python().add_module("Foo", &PyInit_Foo);
    return bench::run(argc, argv);
}
