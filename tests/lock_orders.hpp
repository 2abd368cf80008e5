// Kinds of deadlock around the GIL, each by functions whose lines a report has to name. Each is run
// so that nothing hangs: what would deadlock is done by one thread after the other. Each has a twin
// in which it is mended. All are called with the GIL held, by a module lock_orders of some binding
// library.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <dlfcn.h>
#include <future>
#include <mutex>
#include <pthread.h>
#include <semaphore.h>
#include <shared_mutex>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace lock_orders {

struct gil {
    PyGILState_STATE found = PyGILState_Ensure();
    gil() = default;
    ~gil() { PyGILState_Release(found); }
    gil(gil const&) = delete;
    gil& operator=(gil const&) = delete;
};

struct no_gil {
    PyThreadState* kept = PyEval_SaveThread();
    no_gil() = default;
    ~no_gil() { PyEval_RestoreThread(kept); }
    no_gil(no_gil const&) = delete;
    no_gil& operator=(no_gil const&) = delete;
};

/// Another thread does it, and has ended on return.
template <class Work>
void elsewhere(Work const& work) {
    no_gil const while_joining;
    std::thread(work).join();
}

template <class Work>
void elsewhere_with_gil(Work const& work) {
    elsewhere([&work] {
        gil const held;
        work();
    });
}

inline void touch_python() { PyErr_CheckSignals(); }

[[gnu::noinline]] inline void take_gil_and_touch() {
    gil const held;
    touch_python();
}

/// Locks it, and then the GIL.
template <class Lock>
[[gnu::noinline]] void notify_under(Lock& lock) {
    std::unique_lock const held(lock);
    take_gil_and_touch();
}

template <class Lock>
[[gnu::noinline]] void look_into(Lock& lock) {
    std::unique_lock const held(lock);
}

/// The GIL's holder locks, what locked takes the GIL; and the same, with the GIL released.
template <class Lock>
void both_orders(Lock& lock) {
    elsewhere([&lock] { notify_under(lock); });
    look_into(lock);
}

template <class Lock>
void one_order(Lock& lock) {
    elsewhere([&lock] { notify_under(lock); });
    no_gil const while_locking;
    look_into(lock);
}

inline std::mutex of_cache;
inline std::mutex of_index;
inline std::shared_mutex of_table;
inline std::recursive_mutex of_tree;
inline std::timed_mutex of_device;

inline void mutex_faulty() { both_orders(of_cache); }
inline void mutex_right() { one_order(of_cache); }

inline void recursive_faulty() { both_orders(of_tree); }
inline void recursive_right() { one_order(of_tree); }

inline void timed_faulty() { both_orders(of_device); }
/// Who waits for a moment only cannot deadlock.
inline void timed_right() {
    elsewhere([] { notify_under(of_device); });
    if (of_device.try_lock_for(std::chrono::milliseconds(1))) {
        of_device.unlock();
    }
}

[[gnu::noinline]] inline void read_table() { std::shared_lock const held(of_table); }
[[gnu::noinline]] inline void notify_readers() {
    std::shared_lock const held(of_table);
    take_gil_and_touch();
}
inline void shared_faulty() {
    elsewhere([] { notify_under(of_table); });
    read_table();
}
inline void shared_right() {
    elsewhere([] { notify_readers(); });
    read_table();
}

class spin_lock {
public:
    spin_lock() noexcept { pthread_spin_init(&native_, PTHREAD_PROCESS_PRIVATE); }
    ~spin_lock() { pthread_spin_destroy(&native_); }
    spin_lock(spin_lock const&) = delete;
    spin_lock& operator=(spin_lock const&) = delete;
    void lock() { pthread_spin_lock(&native_); }
    void unlock() { pthread_spin_unlock(&native_); }

private:
    pthread_spinlock_t native_{};
};
inline spin_lock of_queue;
inline void spin_faulty() { both_orders(of_queue); }
inline void spin_right() { one_order(of_queue); }

/// Spin locks that are made again at the same places. They need not be destroyed before.
inline void reused_spin_right() {
    std::array<pthread_spinlock_t, 2> locks{};
    for (std::size_t turn = 0; turn < 2; ++turn) {
        for (pthread_spinlock_t& each : locks) {
            pthread_spin_init(&each, PTHREAD_PROCESS_PRIVATE);
        }
        elsewhere([&] {
            pthread_spin_lock(&locks.at(turn));
            pthread_spin_lock(&locks.at(1 - turn));
            pthread_spin_unlock(&locks.at(1 - turn));
            pthread_spin_unlock(&locks.at(turn));
        });
    }
}

/// A semaphore that is used as a mutex.
class slot {
public:
    slot() noexcept { sem_init(&native_, 0, 1); }
    ~slot() { sem_destroy(&native_); }
    slot(slot const&) = delete;
    slot& operator=(slot const&) = delete;
    void lock() { sem_wait(&native_); }
    void unlock() { sem_post(&native_); }

private:
    sem_t native_{};
};
inline slot only_one;
inline void semaphore_faulty() { both_orders(only_one); }
inline void semaphore_right() { one_order(only_one); }

/// A pool of eight: nobody waits for one thread.
inline void permits_right() {
    sem_t permits{};
    sem_init(&permits, 0, 8);
    auto const use_one = [&permits] {
        sem_wait(&permits);
        take_gil_and_touch();
        sem_post(&permits);
    };
    elsewhere(use_one);
    sem_wait(&permits);
    sem_post(&permits);
    sem_destroy(&permits);
}

/// Flags that come and go, at the same places; a flag is not destroyed by a function.
inline void reused_once_right() {
    for (int turn = 0; turn < 2; ++turn) {
        std::array<std::once_flag, 2> flags;
        auto& first = flags.at(turn);
        auto& second = flags.at(1 - turn);
        elsewhere([&] { std::call_once(first, [&] { std::call_once(second, [] {}); }); });
    }
}

/// A signal's handler posts a semaphore, while its thread locks new mutexes.
inline sem_t posted_by_handler;
inline void signals_right() {
    sem_init(&posted_by_handler, 0, 0);
    struct sigaction posts{};
    posts.sa_handler = [](int) { sem_post(&posted_by_handler); };
    posts.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &posts, nullptr);
    std::atomic<bool> goes_on = true;
    no_gil const while_signalling;
    std::thread locks([&goes_on] {
        std::mutex outer;
        while (goes_on) {
            std::array<std::mutex, 100> made;
            std::scoped_lock const held(outer);
            for (std::mutex& each : made) {
                std::scoped_lock const also(each);
            }
        }
    });
    for (int sent = 0; sent < 2000; ++sent) {
        pthread_kill(locks.native_handle(), SIGUSR1);
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    goes_on = false;
    locks.join();
    sem_destroy(&posted_by_handler);
}

/// A library comes and goes, over and over, while processes are forked.
inline void forks_right() {
    std::atomic<bool> goes_on = true;
    std::atomic<int> loads = 0;
    no_gil const while_forking;
    std::thread loader([&] {
        while (goes_on) {
            if (void* const library = dlopen("libanl.so.1", RTLD_NOW)) {  // glibc's; nobody uses it
                ++loads;
                loads.notify_one();
                dlclose(library);
            }
        }
    });
    loads.wait(0);
    for (int forked = 0; forked < 200; ++forked) {
        pid_t const child = fork();
        if (child == 0) {
            _exit(0);
        }
        waitpid(child, nullptr, 0);
    }
    goes_on = false;
    loader.join();
}

/// Beside locks of Python's: runs the script's function hook() under the mutex; and takes it alone.
[[gnu::noinline]] inline void hook_under_lock() {
    no_gil const while_locking;
    std::scoped_lock const held(of_cache);
    gil const again;
    PyRun_SimpleString("hook()");
}
[[gnu::noinline]] inline void lock_without_gil() {
    no_gil const while_locking;
    look_into(of_cache);
}

/// One order; and the other one, by a thread of its own.
inline void look_with_gil() { look_into(of_cache); }
inline void notify_elsewhere() {
    elsewhere([] { notify_under(of_cache); });
}

/// Under a mutex, functions of Python's whose names begin as those of calls do, and which call
/// nothing: their arguments are numbers.
inline void memory_under_lock() {
    std::scoped_lock const held(of_cache);
    PyObject_Free(PyObject_Calloc(1, sizeof(int)));
}

/// More orders than are kept, all of them harmless.
inline void orders_right() {
    constexpr std::size_t each_way = 260;
    auto* const outer = new std::array<std::mutex, each_way>();
    auto* const inner = new std::array<std::mutex, each_way>();
    for (std::mutex& first : *outer) {
        std::scoped_lock const held(first);
        for (std::mutex& second : *inner) {
            std::scoped_lock const also(second);
        }
    }
    delete inner;
    delete outer;
}

/// More locks held at a time than are watched.
inline void many_held_right() {
    std::array<std::mutex, 60> all;
    for (std::mutex& each : all) {
        each.lock();
    }
    for (std::mutex& each : all) {
        each.unlock();
    }
}

/// It was tried for, and is held all the same.
[[gnu::noinline]] inline void try_and_notify() {
    if (of_cache.try_lock()) {
        take_gil_and_touch();
        of_cache.unlock();
    }
}
inline void tried_faulty() {
    elsewhere([] { try_and_notify(); });
    look_into(of_cache);
}
inline void tried_right() {
    elsewhere([] { try_and_notify(); });
    while (!of_cache.try_lock()) {
        no_gil const while_waiting;
        std::this_thread::yield();
    }
    of_cache.unlock();
}

/// The GIL is let go of while the mutex is held, and wanted again.
[[gnu::noinline]] inline void release_too_late() {
    std::scoped_lock const held(of_index);
    no_gil const while_writing;
}
[[gnu::noinline]] inline void release_first() {
    no_gil const while_writing;
    std::scoped_lock const held(of_index);
}
inline void late_release_faulty() {
    elsewhere_with_gil([] { release_too_late(); });
    look_into(of_index);
}
inline void late_release_right() {
    elsewhere_with_gil([] { release_first(); });
    release_first();
}

/// A Python callable is called under a mutex: the evaluation loop may let go of the GIL.
inline PyObject* callback() {
    static PyObject* const made = [] {
        PyObject* const names = PyDict_New();
        PyObject* const ran = PyRun_String("def log(): pass", Py_file_input, names, names);
        PyObject* const function = PyDict_GetItemString(names, "log");
        Py_XINCREF(function);
        Py_XDECREF(ran);
        Py_DECREF(names);
        return function;
    }();
    return made;
}
[[gnu::noinline]] inline void log_under_lock() {
    std::scoped_lock const held(of_cache);
    Py_XDECREF(PyObject_CallNoArgs(callback()));
}
[[gnu::noinline]] inline void log_after_lock() {
    {
        no_gil const while_locking;
        std::scoped_lock const held(of_cache);
    }
    Py_XDECREF(PyObject_CallNoArgs(callback()));
}
inline void callback_faulty() {
    callback();
    elsewhere_with_gil([] { log_under_lock(); });
    log_under_lock();
}
inline void callback_right() {
    callback();
    elsewhere_with_gil([] { log_after_lock(); });
    log_after_lock();
}

/// The callable is no function, and calls one.
inline PyObject* partial() {
    static PyObject* const made = [] {
        PyObject* const functools = PyImport_ImportModule("functools");
        PyObject* const one = PyObject_CallMethod(functools, "partial", "O", callback());
        Py_XDECREF(functools);
        return one;
    }();
    return made;
}
[[gnu::noinline]] inline void call_partial_under_lock() {
    std::scoped_lock const held(of_cache);
    Py_XDECREF(PyObject_CallNoArgs(partial()));
}
inline void partial_faulty() {
    partial();
    elsewhere_with_gil([] { call_partial_under_lock(); });
    call_partial_under_lock();
}
inline void partial_right() { callback_right(); }

/// Three locks, three threads.
[[gnu::noinline]] inline void index_then_cache() {
    std::unique_lock const first(of_index);
    std::unique_lock const second(of_cache);
}
inline void three_faulty() {
    elsewhere([] { notify_under(of_cache); });
    elsewhere([] { index_then_cache(); });
    look_into(of_index);
}
inline void three_right() {
    elsewhere([] { notify_under(of_cache); });
    elsewhere([] { index_then_cache(); });
    no_gil const while_locking;
    look_into(of_index);
}

/// Without the GIL.
[[gnu::noinline]] inline void cache_then_index() {
    std::unique_lock const first(of_cache);
    std::unique_lock const second(of_index);
}
[[gnu::noinline]] inline void cache_and_index() { std::scoped_lock const both(of_cache, of_index); }
inline void native_faulty() {
    elsewhere([] { cache_then_index(); });
    elsewhere([] { index_then_cache(); });
}
inline void native_right() {
    elsewhere([] { cache_and_index(); });
    elsewhere([] { index_then_cache(); });
}

/// The same, so many calls further in.
inline std::atomic<int> calls_within = 0;  // which each call changes at its end, too: it is no jump
[[gnu::noinline]] inline void cache_then_index_within(int calls) {
    ++calls_within;
    if (calls == 0) {
        cache_then_index();
    } else {
        cache_then_index_within(calls - 1);
    }
    --calls_within;
}
inline void deep_faulty() {
    elsewhere([] { cache_then_index_within(60); });
    elsewhere([] { index_then_cache(); });
}

/// One of the two orders has the GIL for a gate, the other has not; or both have.
inline void gate_faulty() {
    elsewhere_with_gil([] { cache_then_index(); });
    elsewhere([] { index_then_cache(); });
}
inline void gate_right() {
    elsewhere_with_gil([] { cache_then_index(); });
    elsewhere_with_gil([] { index_then_cache(); });
}

/// Waits for a condition, for a moment, and wants the mutex again with the GIL held.
inline std::condition_variable has_changed;
[[gnu::noinline]] inline void wait_a_moment() {
    std::unique_lock held(of_cache);
    has_changed.wait_for(held, std::chrono::milliseconds(1));
}
inline void relock_faulty() {
    elsewhere([] { notify_under(of_cache); });
    wait_a_moment();
}
inline void relock_right() {
    elsewhere([] { notify_under(of_cache); });
    no_gil const while_waiting;
    wait_a_moment();
}

/// Something is initialised once, by Python code.
inline int ask_python() {
    PyRun_SimpleString("import time; time.sleep(0)");
    return 1;
}
[[gnu::noinline]] inline int python_static() {
    static int const only = ask_python();
    return only;
}
[[gnu::noinline]] inline int other_static() {
    no_gil const while_initialising;
    static int const only = [] {
        gil const held;
        return ask_python();
    }();
    return only;
}
inline void static_faulty() {
    elsewhere_with_gil([] { python_static(); });
}
inline void static_right() {
    elsewhere_with_gil([] { other_static(); });
}

inline std::once_flag asked;
inline std::once_flag asked_without;
[[gnu::noinline]] inline void ask_once() { std::call_once(asked, &ask_python); }
[[gnu::noinline]] inline void ask_once_without() {
    no_gil const while_initialising;
    std::call_once(asked_without, [] {
        gil const held;
        ask_python();
    });
}
inline void once_faulty() {
    elsewhere_with_gil([] { ask_once(); });
}
inline void once_right() {
    elsewhere_with_gil([] { ask_once_without(); });
}

/// A native thread is the first, and the flag is set when a thread with the GIL comes.
inline std::once_flag loaded;
[[gnu::noinline]] inline void load_once() { std::call_once(loaded, &take_gil_and_touch); }
inline void late_once_faulty() {
    elsewhere([] { load_once(); });
    load_once();
}
inline void late_once_right() {
    elsewhere([] { load_once(); });
    no_gil const while_loading;
    load_once();
}

/// A thread that has taken the GIL, and is there a while longer.
class worker {
public:
    explicit worker(void (*then)() = [] {})
        : thread_([then, this] {
              take_gil_and_touch();
              took_ = true;
              took_.notify_one();
              std::this_thread::sleep_for(std::chrono::milliseconds(50));
              then();
          }) {
        no_gil const while_waiting;
        took_.wait(false);
    }
    ~worker() {
        if (thread_.joinable()) {
            no_gil const while_joining;
            thread_.join();
        }
    }
    worker(worker const&) = delete;
    worker& operator=(worker const&) = delete;

    [[gnu::noinline]] void join() { thread_.join(); }

private:
    std::atomic<bool> took_ = false;
    std::thread thread_;
};

[[gnu::noinline]] inline void join_worker(worker& joined) {
    joined.join();
    std::atomic_signal_fence(std::memory_order_seq_cst);  // no tail call: it is on the stack
}
inline void join_faulty() {
    worker joined;
    join_worker(joined);
}
inline void join_hangs() {
    worker joined([] { take_gil_and_touch(); });
    join_worker(joined);
}
inline void join_right() {
    worker joined;
    no_gil const while_joining;
    join_worker(joined);
}

/// A thread that has taken the GIL, sleeps again and again, and soon sees that it should end.
class poller {
public:
    poller()
        : thread_([this] {
              take_gil_and_touch();
              took_ = true;
              took_.notify_one();
              while (!ends_) {
                  std::this_thread::sleep_for(std::chrono::milliseconds(2));
              }
          }) {
        no_gil const while_waiting;
        took_.wait(false);
    }

    [[gnu::noinline]] void join() {
        ends_ = true;
        thread_.join();
    }

private:
    std::atomic<bool> took_ = false;
    std::atomic<bool> ends_ = false;
    std::thread thread_;
};

[[gnu::noinline]] inline void join_poller(poller& joined) {
    joined.join();
    std::atomic_signal_fence(std::memory_order_seq_cst);
}
[[gnu::noinline]] inline void make_and_join_poller() {
    poller joined;
    join_poller(joined);
}
inline void poller_faulty() {  // often, because one may be awake at that moment
    for (int time = 0; time < 20; ++time) {
        make_and_join_poller();
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
}
inline void poller_right() {
    for (int time = 0; time < 20; ++time) {
        poller joined;
        no_gil const while_joining;
        join_poller(joined);
    }
    for (int time = 0; time < 200; ++time) {  // one that has said that it is done, and ends
        std::promise<void> done;
        std::thread ends([&done] {
            take_gil_and_touch();
            done.set_value();
        });
        {
            no_gil const while_waiting;
            done.get_future().wait();
        }
        ends.join();
    }
}

struct pool {
    worker only;
    pool() = default;
    pool(pool const&) = delete;
    pool& operator=(pool const&) = delete;
    [[gnu::noinline]] ~pool() { join_worker(only); }
};
inline void destructor_faulty() { pool const destroyed; }
inline void destructor_right() {
    pool* const made = new pool();
    no_gil const while_joining;
    delete made;
}

inline bool is_ready = false;
inline void make_ready() {
    std::scoped_lock const held(of_cache);
    is_ready = true;
    has_changed.notify_all();
}
[[gnu::noinline]] inline void wait_until_ready() {
    std::unique_lock held(of_cache);
    has_changed.wait(held, [] { return std::exchange(is_ready, false); });
}
inline void condition_faulty() {
    worker const wakes(&make_ready);
    wait_until_ready();
}
inline void condition_right() {
    worker const wakes(&make_ready);
    no_gil const while_waiting;
    wait_until_ready();
}

inline sem_t& done() {
    static sem_t& only = []() -> sem_t& {
        static sem_t made;
        sem_init(&made, 0, 0);
        return made;
    }();
    return only;
}
inline void post_done() { sem_post(&done()); }
[[gnu::noinline]] inline void wait_until_done() {
    while (sem_wait(&done()) != 0) {
    }
}
inline void event_faulty() {
    worker const wakes(&post_done);
    wait_until_done();
}
inline void event_right() {
    worker const wakes(&post_done);
    no_gil const while_waiting;
    wait_until_done();
}

inline std::promise<int>& result() {
    static auto& only = *new std::promise<int>();
    return only;
}
inline void set_result() { result().set_value(1); }
[[gnu::noinline]] inline int get_result() {
    int const value = result().get_future().get();
    result() = {};
    return value;
}
inline void future_faulty() {
    worker const wakes(&set_result);
    get_result();
}
inline void future_right() {
    worker const wakes(&set_result);
    no_gil const while_waiting;
    get_result();
}

/// For a binding library, by the names that a script knows.
inline constexpr auto functions = std::to_array<std::pair<char const*, void (*)()>>({
    {"mutex_faulty", &mutex_faulty},
    {"mutex_right", &mutex_right},
    {"recursive_faulty", &recursive_faulty},
    {"recursive_right", &recursive_right},
    {"timed_faulty", &timed_faulty},
    {"timed_right", &timed_right},
    {"shared_faulty", &shared_faulty},
    {"shared_right", &shared_right},
    {"spin_faulty", &spin_faulty},
    {"spin_right", &spin_right},
    {"semaphore_faulty", &semaphore_faulty},
    {"semaphore_right", &semaphore_right},
    {"permits_right", &permits_right},
    {"reused_once_right", &reused_once_right},
    {"reused_spin_right", &reused_spin_right},
    {"signals_right", &signals_right},
    {"forks_right", &forks_right},
    {"hook_under_lock", &hook_under_lock},
    {"memory_under_lock", &memory_under_lock},
    {"look_with_gil", &look_with_gil},
    {"notify_elsewhere", &notify_elsewhere},
    {"lock_without_gil", &lock_without_gil},
    {"orders_right", &orders_right},
    {"many_held_right", &many_held_right},
    {"tried_faulty", &tried_faulty},
    {"tried_right", &tried_right},
    {"late_release_faulty", &late_release_faulty},
    {"late_release_right", &late_release_right},
    {"callback_faulty", &callback_faulty},
    {"callback_right", &callback_right},
    {"partial_faulty", &partial_faulty},
    {"partial_right", &partial_right},
    {"late_once_faulty", &late_once_faulty},
    {"late_once_right", &late_once_right},
    {"three_faulty", &three_faulty},
    {"three_right", &three_right},
    {"native_faulty", &native_faulty},
    {"native_right", &native_right},
    {"deep_faulty", &deep_faulty},
    {"gate_faulty", &gate_faulty},
    {"gate_right", &gate_right},
    {"relock_faulty", &relock_faulty},
    {"relock_right", &relock_right},
    {"static_faulty", &static_faulty},
    {"static_right", &static_right},
    {"once_faulty", &once_faulty},
    {"once_right", &once_right},
    {"join_faulty", &join_faulty},
    {"join_hangs", &join_hangs},
    {"join_right", &join_right},
    {"poller_faulty", &poller_faulty},
    {"poller_right", &poller_right},
    {"destructor_faulty", &destructor_faulty},
    {"destructor_right", &destructor_right},
    {"condition_faulty", &condition_faulty},
    {"condition_right", &condition_right},
    {"event_faulty", &event_faulty},
    {"event_right", &event_right},
    {"future_faulty", &future_faulty},
    {"future_right", &future_right},
});

}  // namespace lock_orders
