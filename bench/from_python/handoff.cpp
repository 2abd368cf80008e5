// Ours: callback, override_of, drop_shared_ptr_anywhere and gil_owned; and what Boost.Python has.
#include "measured.hpp"
#include <handoff/boost_python/callback.hpp>
#include <handoff/boost_python/module.hpp>
#include <handoff/boost_python/override.hpp>
#include <handoff/boost_python/shared_ptr.hpp>

#include <boost/python.hpp>

#include <array>
#include <barrier>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

namespace py = boost::python;
using bench::call;
using bench::contended;
using bench::copy_drop;
using bench::copy_drop_contended;
using bench::cost;
using bench::held;
using bench::kept;
using bench::last_drop;
using bench::many;
using bench::override_call;
using bench::plain;
using bench::pointer_drop;

struct cost_from_python : cost, py::wrapper<cost> {
    double eval(double x) override { return handoff::override_of<double>(this, "eval")(x); }
};

/// Of a type of its own, as converters are a type's: Boost.Python's remains as it is.
struct frame_of_boost_python {};

py::object object_of(PyObject* borrowed) {
    return py::object(py::handle<>(py::borrowed(borrowed)));
}

/// Not inline: GCC 12 takes what Boost.Python constructs in place for uninitialised there.
template <class T>
[[gnu::noinline]] std::shared_ptr<T> shared(PyObject* made) {
    return py::extract<std::shared_ptr<T>>(made)();
}

struct library {
    static constexpr char const* name = "handoff";
    static constexpr int copies = many;
    using function = handoff::callback<double(double)>;
    using kept_state = handoff::gil_attachment;
    using frame = bench::frame;

    static function function_of(PyObject* f) { return function(object_of(f)); }
    static cost* cost_of(PyObject* made) { return py::extract<cost*>(made)(); }
    static std::shared_ptr<frame> pointer_of(PyObject* made) { return shared<frame>(made); }
};

struct of_std_function : library {
    static constexpr char const* name = "handoff_std_function";
    using function = std::function<double(double)>;
    static function function_of(PyObject* f) { return library::function_of(f); }
};

struct of_boost_python : library {
    static constexpr char const* name = "boost_python";
    using frame = frame_of_boost_python;
    static std::shared_ptr<frame> pointer_of(PyObject* made) { return shared<frame>(made); }
};

handoff::gil_owned<py::object> owned() {
    return handoff::gil_owned<py::object>(object_of(bench::passed("same")));
}

/// Python's end asks the thread to stop, so the gate knows it.
struct registered {
    template <class Library, class Work>
    static void run(Work const& work) {
        on_a_native_thread([&] {
            handoff::gil_registration const python("benchmark");
            work();
        });
    }
};

template <class Place>
void owned_drop(benchmark::State& times) {
    bench::drop<library, Place>(times, &owned);
}

/// Each thread's processor time for one of its own.
void owned_drop_four_threads(benchmark::State& times) {
    for ([[maybe_unused]] auto _ : times) {
        std::array<double, 4> took{};
        std::barrier together(took.size());
        std::vector<std::thread> threads;
        threads.reserve(took.size());
        for (double& its : took) {
            threads.emplace_back([&its, &together, made = bench::made_often(&owned)]() mutable {
                together.arrive_and_wait();
                double const begin = bench::thread_time();
                made.clear();
                its = (bench::thread_time() - begin) / many;
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        times.SetIterationTime((took[0] + took[1] + took[2] + took[3]) / took.size());
        handoff::gil_acquire const drops_what_was_given_up;
    }
}

/// What the next taker of the GIL has to do for each.
void owned_emptying(benchmark::State& times) {
    for ([[maybe_unused]] auto _ : times) {
        auto made = bench::made_often(&owned);
        on_a_native_thread([&made] { made.clear(); });
        double const begin = bench::thread_time();
        {
            handoff::gil_acquire const drops_what_was_given_up;
        }
        times.SetIterationTime((bench::thread_time() - begin) / many);
    }
}

BENCHMARK_TEMPLATE(call, library, held)->Name("call_held/handoff");
BENCHMARK_TEMPLATE(call, library, kept)->Name("call_kept/handoff");
BENCHMARK_TEMPLATE(call, library, plain)->Name("call_plain/handoff");
BENCHMARK_TEMPLATE(call, library, registered)->Name("call_registered/handoff");
BENCHMARK_TEMPLATE(copy_drop, library, held)->Name("copy_drop_held/handoff");
BENCHMARK_TEMPLATE(copy_drop, library, kept)->Name("copy_drop_kept/handoff");
BENCHMARK_TEMPLATE(copy_drop, library, plain)->Name("copy_drop_plain/handoff");
BENCHMARK_TEMPLATE(copy_drop_contended, library)
    ->Name("copy_drop_contended/handoff")
    ->Iterations(1)
    ->UseManualTime();
BENCHMARK_TEMPLATE(last_drop, library, held)
    ->Name("last_drop_held/handoff")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(last_drop, library, kept)
    ->Name("last_drop_kept/handoff")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(override_call, library, held)->Name("override_held/handoff");
BENCHMARK_TEMPLATE(override_call, library, kept)->Name("override_kept/handoff");
BENCHMARK_TEMPLATE(override_call, library, plain)->Name("override_plain/handoff");
BENCHMARK_TEMPLATE(pointer_drop, library, held)
    ->Name("pointer_drop_held/handoff")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(pointer_drop, library, kept)
    ->Name("pointer_drop_kept/handoff")
    ->Iterations(5)
    ->UseManualTime();

BENCHMARK_TEMPLATE(call, of_std_function, held)->Name("call_held/handoff_std_function");
BENCHMARK_TEMPLATE(call, of_std_function, kept)->Name("call_kept/handoff_std_function");
BENCHMARK_TEMPLATE(call, of_std_function, plain)->Name("call_plain/handoff_std_function");
BENCHMARK_TEMPLATE(copy_drop, of_std_function, held)->Name("copy_drop_held/handoff_std_function");
BENCHMARK_TEMPLATE(copy_drop, of_std_function, kept)->Name("copy_drop_kept/handoff_std_function");
BENCHMARK_TEMPLATE(copy_drop, of_std_function, plain)->Name("copy_drop_plain/handoff_std_function");
BENCHMARK_TEMPLATE(copy_drop_contended, of_std_function)
    ->Name("copy_drop_contended/handoff_std_function")
    ->Iterations(1)
    ->UseManualTime();
BENCHMARK_TEMPLATE(last_drop, of_std_function, held)
    ->Name("last_drop_held/handoff_std_function")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(last_drop, of_std_function, kept)
    ->Name("last_drop_kept/handoff_std_function")
    ->Iterations(5)
    ->UseManualTime();

BENCHMARK_TEMPLATE(pointer_drop, of_boost_python, held)
    ->Name("pointer_drop_held/boost_python")
    ->Iterations(5)
    ->UseManualTime();

BENCHMARK_TEMPLATE(owned_drop, kept)
    ->Name("owned_drop_kept/handoff")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK_TEMPLATE(owned_drop, contended)
    ->Name("owned_drop_contended/handoff")
    ->Iterations(1)
    ->UseManualTime();
BENCHMARK(owned_drop_four_threads)
    ->Name("owned_drop_four_threads/handoff")
    ->Iterations(5)
    ->UseManualTime();
BENCHMARK(owned_emptying)->Name("owned_emptying/handoff")->Iterations(5)->UseManualTime();

}  // namespace

HANDOFF_PYTHON_MODULE(handoff) {
    py::class_<cost_from_python, boost::noncopyable>("Cost").def("eval",
                                                                 py::pure_virtual(&cost::eval));
    py::class_<bench::frame, std::shared_ptr<bench::frame>>("Frame").def(
        handoff::drop_shared_ptr_anywhere());
}

BOOST_PYTHON_MODULE(boost_python) {
    py::class_<frame_of_boost_python, std::shared_ptr<frame_of_boost_python>>("Frame");
}
