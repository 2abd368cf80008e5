// Module hangs: how a thread keeps others from the GIL, each in a function of its own whose line a
// report has to name. C++ alone, as anybody's.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <unistd.h>

namespace {

std::mutex of_the_cache;
std::condition_variable never_notified;
std::atomic<bool> goes_on = true;
std::atomic<bool> is_there = false;  // another thread, with what the holder is to wait for

/// A worker that acquires the GIL, as the seed's.
void append_to_log() {
    pthread_setname_np(pthread_self(), "worker");
    PyGILState_STATE const found = PyGILState_Ensure();
    PyGILState_Release(found);
}

/// Takes the mutex, and then wants the GIL.
void fill_cache() {
    std::scoped_lock const held(of_the_cache);
    is_there = true;
    is_there.notify_one();
    append_to_log();
}

struct pool {
    pool() : worker(&append_to_log) {}
    ~pool() { worker.join(); }
    pool(pool const&) = delete;
    pool& operator=(pool const&) = delete;
    std::thread worker;
};

[[gnu::noinline]] void destroy_the_pool() { pool const destroyed; }

[[gnu::noinline]] void look_into_cache() {
    std::thread filling(&fill_cache);
    is_there.wait(false);
    of_the_cache.lock();
    of_the_cache.unlock();
    filling.join();
}

int slow_table() {
    is_there = true;
    is_there.notify_one();
    append_to_log();
    return 1;
}

int table() {
    static int const only = slow_table();
    return only;
}

[[gnu::noinline]] void use_table() {
    std::thread first([] { table(); });
    is_there.wait(false);
    table();
    first.join();
}

[[gnu::noinline]] void wait_for_result() {
    std::thread worker(&append_to_log);
    std::unique_lock held(of_the_cache);
    never_notified.wait(held, [] { return !goes_on; });
    worker.join();
}

[[gnu::noinline]] void simulate() {
    std::thread worker(&append_to_log);
    while (goes_on) {
    }
    worker.join();
}

[[gnu::noinline]] void read_sensor() {
    std::thread worker(&append_to_log);
    int ends[2];
    if (pipe(ends) == 0) {
        char byte = 0;
        if (read(ends[0], &byte, 1) < 0) {
            goes_on = false;
        }
    }
    worker.join();
}

[[gnu::noinline]] void sleep_long() { std::this_thread::sleep_for(std::chrono::hours(1)); }

template <void (*Hang)()>
PyObject* with_gil(PyObject* /*module*/, PyObject* /*none*/) {
    Hang();
    Py_RETURN_NONE;
}

// NOLINTBEGIN(modernize-use-designated-initializers): as every module writes them
PyMethodDef methods[] = {{"join", &with_gil<&destroy_the_pool>, METH_NOARGS, nullptr},
                         {"mutex", &with_gil<&look_into_cache>, METH_NOARGS, nullptr},
                         {"once", &with_gil<&use_table>, METH_NOARGS, nullptr},
                         {"condition", &with_gil<&wait_for_result>, METH_NOARGS, nullptr},
                         {"works", &with_gil<&simulate>, METH_NOARGS, nullptr},
                         {"read", &with_gil<&read_sensor>, METH_NOARGS, nullptr},
                         {"sleep", &with_gil<&sleep_long>, METH_NOARGS, nullptr},
                         {}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "hangs", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};
// NOLINTEND(modernize-use-designated-initializers)

}  // namespace

PyMODINIT_FUNC PyInit_hangs() { return PyModule_Create(&definition); }
