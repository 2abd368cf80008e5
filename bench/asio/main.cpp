// Benchmarks of Asio's handlers that use Python: in turns, and with a guard in each.
//
// Handlers that append to a Python list are posted, and then run: a time is that from the start of
// the threads that run them until the last has run, for one handler. Idle: Python waits meanwhile.
// Busy: a thread of it computes.
#include "../process.hpp"
#include <handoff/asio/python_executor.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <boost/asio.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace py = boost::python;

/// A thread of Python that computes while it lives.
class busy_python {
public:
    explicit busy_python(bool is_wanted) {
        if (is_wanted) {
            thread_ = std::jthread([this](std::stop_token const& stop) {
                handoff::gil_acquire const gil;
                while (!stop.stop_requested()) {
                    py::exec("sum(range(1000))", names());
                    has_begun_ = true;
                    has_begun_.notify_one();
                }
            });
            has_begun_.wait(false);
        }
    }

private:
    static py::dict names() {
        py::dict made;
        made["__builtins__"] = py::import("builtins");
        return made;
    }

    std::atomic<bool> has_begun_ = false;
    std::jthread thread_;
};

/// What each handler does with the GIL held. GIL: held.
void append(PyObject* list) {
    PyObject* const number = PyLong_FromLong(1);
    PyList_Append(list, number);
    Py_DECREF(number);
}

/// By a python_executor.
struct in_turns {
    handoff::python_executor python;
    explicit in_turns(asio::io_context& io) : python(io) {}
    void post(asio::io_context& /*io*/, PyObject* list) const {
        asio::post(python, [list] { append(list); });
    }
};

struct with_gil_acquire {
    explicit with_gil_acquire(asio::io_context& /*io*/) {}
    static void post(asio::io_context& io, PyObject* list) {
        asio::post(io, [list] {
            handoff::gil_acquire const gil;
            append(list);
        });
    }
};

struct with_gil_state {
    explicit with_gil_state(asio::io_context& /*io*/) {}
    static void post(asio::io_context& io, PyObject* list) {
        asio::post(io, [list] {
            PyGILState_STATE const state = PyGILState_Ensure();
            append(list);
            PyGILState_Release(state);
        });
    }
};

/// The pattern of Tanner Sansbury's answers: a class that takes the GIL, and a functor that keeps
/// the Python object in a shared pointer, whose deleter takes the GIL as well. Source:
/// https://stackoverflow.com/questions/41240610
struct with_gil_pattern {
    class with_gil {
    public:
        with_gil() : state_(PyGILState_Ensure()) {}
        ~with_gil() { PyGILState_Release(state_); }
        with_gil(with_gil const&) = delete;
        with_gil& operator=(with_gil const&) = delete;

    private:
        PyGILState_STATE state_;
    };

    class py_callable {
    public:
        explicit py_callable(PyObject* list)
            : list_(Py_NewRef(list), [](PyObject* dropped) {
                  with_gil const gil;
                  Py_DECREF(dropped);
              }) {}
        void operator()() const {
            with_gil const gil;
            append(list_.get());
        }

    private:
        std::shared_ptr<PyObject> list_;
    };

    py_callable callable;
    explicit with_gil_pattern(asio::io_context& /*io*/) : callable(made()) {}
    void post(asio::io_context& io, PyObject* /*list*/) const { asio::post(io, callable); }

    static py_callable made() {
        with_gil const gil;
        return py_callable(py::list().ptr());
    }
};

template <class Way>
void handlers(benchmark::State& state, int threads, bool is_busy) {
    constexpr int count = 20'000;
    PyObject* const list = [] {
        handoff::gil_acquire const gil;
        return PyList_New(0);
    }();
    for (auto _ : state) {
        asio::io_context io;
        Way const way(io);
        busy_python const beside(is_busy);
        for (int i = 0; i < count; ++i) {
            way.post(io, list);
        }
        auto const begin = std::chrono::steady_clock::now();
        {
            std::vector<std::jthread> running;
            for (int i = 0; i < threads; ++i) {
                running.emplace_back([&] { io.run(); });
            }
        }
        std::chrono::duration<double> const taken = std::chrono::steady_clock::now() - begin;
        state.SetIterationTime(taken.count() / count);
    }
    handoff::gil_acquire const to_drop;
    Py_DECREF(list);
}

template <class Way>
void add(std::string const& way) {
    for (int const threads : {1, 4}) {
        for (bool const is_busy : {false, true}) {
            auto const name = std::string(is_busy ? "busy" : "idle") + "_" +
                              std::to_string(threads) + "_threads/" + way;
            benchmark::RegisterBenchmark(name.c_str(),
                                         [threads, is_busy](benchmark::State& state) {
                                             handlers<Way>(state, threads, is_busy);
                                         })
                ->UseManualTime()
                ->Iterations(1);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    add<in_turns>("python_executor");
    add<with_gil_acquire>("gil_acquire");
    add<with_gil_state>("gil_state");
    add<with_gil_pattern>("with_gil");
    return bench::run(argc, argv);
}
