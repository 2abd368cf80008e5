// Module long_holds: native code that holds the GIL for long, each in a function of its own whose
// line a recording has to name. C++ alone, as anybody's.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <chrono>
#include <csignal>
#include <pthread.h>
#include <thread>
#include <unistd.h>

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds so_long{400};

[[gnu::noinline]] unsigned simulate() {
    unsigned volatile steps = 0;
    for (auto const end = steady_clock::now() + so_long; steady_clock::now() < end;) {
        steps = steps + 1;
    }
    return steps;
}

/// In one place of it, and in the next call in another.
[[gnu::noinline]] unsigned simulate_in_turns() {
    static unsigned calls = 0;
    unsigned volatile steps = 0;
    auto const end = steady_clock::now() + so_long;
    if (++calls % 2 == 1) {
        while (steady_clock::now() < end) {
            steps = steps + 1;
        }
    } else {
        while (steady_clock::now() < end) {
            steps = steps + 2;
        }
    }
    return steps;
}

/// Returns: for how many seconds. usleep() returns early where a signal comes.
[[gnu::noinline]] double doze() {
    auto const begin = steady_clock::now();
    usleep(std::chrono::microseconds(so_long).count());
    return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

double slept = 0;
unsigned polls = 0;

[[gnu::noinline]] void poll_device() {
    PyGILState_STATE const found = PyGILState_Ensure();
    slept = doze();
    PyGILState_Release(found);
    ++polls;  // or else the compiler jumps to the release, and no frame of this function is left
}

[[gnu::noinline]] void compute_in_thread() {
    PyGILState_STATE const found = PyGILState_Ensure();
    simulate();
    PyGILState_Release(found);
}

void block_all_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

template <void (*Work)()>
PyObject* in_thread(PyObject* /*module*/, PyObject* /*none*/) {
    Py_BEGIN_ALLOW_THREADS std::thread worker([] {
        pthread_setname_np(pthread_self(), "native");
        Work();
    });
    worker.join();
    Py_END_ALLOW_THREADS return PyFloat_FromDouble(slept);
}

void compute_with_signals_blocked() {
    block_all_signals();
    compute_in_thread();
}

PyObject* works(PyObject* /*module*/, PyObject* /*none*/) {
    return PyLong_FromUnsignedLong(simulate());
}

PyObject* works_in_turns(PyObject* /*module*/, PyObject* /*none*/) {
    return PyLong_FromUnsignedLong(simulate_in_turns());
}

PyObject* dozes(PyObject* /*module*/, PyObject* /*none*/) { return PyFloat_FromDouble(doze()); }

// NOLINTBEGIN(modernize-use-designated-initializers): as every module writes them
PyMethodDef methods[] = {
    {"works", &works, METH_NOARGS, nullptr},
    {"works_in_turns", &works_in_turns, METH_NOARGS, nullptr},
    {"dozes", &dozes, METH_NOARGS, nullptr},
    {"thread_works", &in_thread<&compute_in_thread>, METH_NOARGS, nullptr},
    {"thread_dozes", &in_thread<&poll_device>, METH_NOARGS, nullptr},
    {"thread_blocks", &in_thread<&compute_with_signals_blocked>, METH_NOARGS, nullptr},
    {}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "long_holds", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};
// NOLINTEND(modernize-use-designated-initializers)

}  // namespace

PyMODINIT_FUNC PyInit_long_holds() { return PyModule_Create(&definition); }
