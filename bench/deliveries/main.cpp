// Benchmarks of a delivery: a message appended to a list, and one that a Python function is given.
//
// Times are processor time of the whole process, for one message, at saturation: the next is always
// due. The limit is a loop in C that holds the GIL all the while. A repetition measures all that is
// compared one after the other, within a moment: what a neighbour of the machine does lasts longer.
#include "../process.hpp"
#include <handoff/foo.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <malloc.h>
#include <thread>

namespace {

namespace py = boost::python;

constexpr Py_ssize_t messages = 1'000'000;  // a measurement

/// The seconds that a message takes of those that `work` delivers; it returns how many they were.
template <class Work>
double a_message(Work const& work) {
    auto const before = bench::processor_time();
    auto const delivered = static_cast<double>(work());
    return ((bench::processor_time() - before) / delivered).count();
}

/// None, or a function of one argument that does nothing.
py::object callback(bool is_called) {
    return is_called ? py::eval("lambda n: None") : py::object();
}

double loop(bool calls) {
    return a_message([calls] {
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

double foo(bool calls) {
    return a_message([calls] {
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
double seed() {
    return a_message([] {
        return bench::python().invoke([] {
            py::list appended;
            handoff::gil_release const while_joining;
            constexpr Py_ssize_t fewer = messages / 10;  // each takes ten times as long
            std::thread([&appended] {
                for (Py_ssize_t n = 0; n < fewer; ++n) {
                    PyGILState_STATE const found = PyGILState_Ensure();
                    appended.append(py::len(appended));
                    PyGILState_Release(found);
                }
            }).join();
            return fewer;
        });
    });
}

void append(benchmark::State& times) {
    for ([[maybe_unused]] auto _ : times) {
        times.counters["loop"] = loop(false);
        times.counters["foo"] = foo(false);
        times.counters["seed"] = seed();
    }
}

void call(benchmark::State& times) {
    for ([[maybe_unused]] auto _ : times) {
        times.counters["loop"] = loop(true);
        times.counters["foo"] = foo(true);
    }
}

BENCHMARK(append)->Name("append/in_turn")->Iterations(1);
BENCHMARK(call)->Name("call/in_turn")->Iterations(1);

/// Has a list grow where it is. As glibc comes, it copies that of a thread that lives on, the
/// Foo's, and not that of one which has the memory of its forerunner, the loop's: realloc() was
/// compared.
void let_lists_grow() {
    mallopt(M_MMAP_THRESHOLD, 64U << 20U);
    mallopt(M_TOP_PAD, 32U << 20U);
    mallopt(M_TRIM_THRESHOLD, 128U << 20U);
}

}  // namespace

int main(int argc, char** argv) {
    let_lists_grow();
    bench::python().add_module("Foo", &PyInit_Foo);
    return bench::run(argc, argv);
}
