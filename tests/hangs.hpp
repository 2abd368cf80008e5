// How a thread keeps others from the GIL, or from a mutex, or ends the program: each in a function
// of its own, whose line a report has to name. Each is called with the GIL held, by a module hangs
// of some binding library. C++ alone, as anybody's.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <latch>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace hangs {

inline std::mutex of_the_cache;
inline std::condition_variable never_notified;
inline std::atomic<bool> goes_on = true;
inline std::atomic<bool> is_there = false;  // another thread, with what the holder is to wait for

/// A worker that acquires the GIL, as the seed's.
inline void append_to_log() {
    pthread_setname_np(pthread_self(), "worker");
    PyGILState_STATE const found = PyGILState_Ensure();
    PyGILState_Release(found);
}

/// Takes the mutex, and then wants the GIL.
inline void fill_cache() {
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

[[gnu::noinline]] inline void destroy_the_pool() { pool const destroyed; }

[[gnu::noinline]] inline void look_into_cache() {
    std::thread filling(&fill_cache);
    is_there.wait(false);
    of_the_cache.lock();
    of_the_cache.unlock();
    filling.join();
}

inline int slow_table() {
    is_there = true;
    is_there.notify_one();
    append_to_log();
    return 1;
}

inline int table() {
    static int const only = slow_table();
    return only;
}

[[gnu::noinline]] inline void use_table() {
    std::thread first([] { table(); });
    is_there.wait(false);
    table();
    first.join();
}

[[gnu::noinline]] inline void wait_for_result() {
    std::thread worker(&append_to_log);
    std::unique_lock held(of_the_cache);
    never_notified.wait(held, [] { return !goes_on; });
    worker.join();
}

[[gnu::noinline]] inline void simulate() {
    std::thread worker(&append_to_log);
    while (goes_on) {
    }
    worker.join();
}

[[gnu::noinline]] inline void read_sensor() {
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

/// Its last call may be compiled to a jump, and it has no frame then.
[[gnu::noinline]] inline void join_last() {
    static std::thread worker(&append_to_log);
    worker.join();
}

/// The thread ends, and has not released the GIL.
[[gnu::noinline]] inline void keep_for_ever() {
    PyThreadState* const state = PyEval_SaveThread();
    std::thread([] { PyGILState_Ensure(); }).join();
    PyEval_RestoreThread(state);
    goes_on = true;  // so that the compiler does not turn the call into a jump
}

[[gnu::noinline]] inline void sleep_long() { std::this_thread::sleep_for(std::chrono::hours(1)); }

/// For a second, or less: a signal ends it.
[[gnu::noinline]] inline void doze() {
    usleep(1'000'000);
    goes_on = true;  // that the call is no jump
}

inline std::mutex of_the_log;

/// Two threads that do this in opposite orders wait for each other: each has locked its first when
/// either wants its second.
[[gnu::noinline]] inline void lock_both(std::mutex& first, std::mutex& second, std::latch& begun) {
    std::scoped_lock const held(first);
    begun.arrive_and_wait();
    second.lock();
    second.unlock();
}

inline void lock_opposite() {
    std::latch begun(2);
    std::thread other([&begun] {
        pthread_setname_np(pthread_self(), "other");
        lock_both(of_the_log, of_the_cache, begun);
    });
    PyThreadState* const state = PyEval_SaveThread();
    lock_both(of_the_cache, of_the_log, begun);
    PyEval_RestoreThread(state);
    other.join();
}

[[gnu::noinline]] inline void lock_twice() {
    PyThreadState* const state = PyEval_SaveThread();
    of_the_cache.lock();
    of_the_cache.lock();
    PyEval_RestoreThread(state);
}

inline int volatile* sensor = nullptr;

/// Ends the program by SIGSEGV.
[[gnu::noinline]] inline void write_sensor() { sensor[2] = 1; }

/// As well: a thread without the GIL calls Python.
[[gnu::noinline]] inline void raise_error() {
    PyErr_SetString(PyExc_ValueError, "no sensor");
    goes_on = false;  // that the call is no jump
}

inline void call_without_gil() {
    PyThreadState* const state = PyEval_SaveThread();
    std::thread(&raise_error).join();
    PyEval_RestoreThread(state);
}

/// By a fatal error of Python's, which it notices itself.
[[gnu::noinline]] inline void ask_for_state() {
    static_cast<void>(PyThreadState_Get());
    goes_on = false;
}

inline void fail_without_gil() {
    PyThreadState* const state = PyEval_SaveThread();
    std::thread(&ask_for_state).join();
    PyEval_RestoreThread(state);
}

/// By SIGABRT, in a function that ends with the call.
[[noreturn, gnu::noinline]] inline void give_up() { std::abort(); }

/// For a binding library, by the names that a script knows.
inline constexpr auto functions = std::to_array<std::pair<char const*, void (*)()>>({
    {"join", &destroy_the_pool},
    {"mutex", &look_into_cache},
    {"once", &use_table},
    {"condition", &wait_for_result},
    {"works", &simulate},
    {"read", &read_sensor},
    {"sleep", &sleep_long},
    {"join_last", &join_last},
});

}  // namespace hangs
