// kept_state: which threads make, clear and delete it, so that no thread waits as it ends.
//
// Overview
//   Any thread that holds the GIL can clear a state, and any can delete it after that. So a thread
//   that ends leaves its state to others; the next native thread that acquires for the first time
//   clears it, and the next that begins or ends deletes it. A few states outlive their threads, as
//   few as there were threads at a time; what remains is Python's to clear when it finalizes.
//
// Why not by the thread itself
//   It would take the GIL as it ends; a thread that joins it and holds the GIL would wait forever.
//
// Why in two steps
//   From 3.12 on, PyThreadState_Delete() makes PyGILState_* forget the state of the calling thread,
//   whichever state is deleted. So that is done where the thread has no state yet, or needs none
//   any more. Source: CPython 3.12's Python/pystate.c, unbind_gilstate_tstate().
//
// Without a GIL
//   A thread's reference counts and its heap are its own, and only it can clear its state. So it
//   attaches as it ends. For this it waits only while the world is being stopped: only then would
//   a thread that joins it while attached wait forever.
//   Source: CPython 3.14's Python/pystate.c, PyThreadState_Clear().
#include <handoff/gil/detail/assertion.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/detail/kept_state.hpp>
#include <handoff/gil/detail/thread_state.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/detail/waiting.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/gil/held.hpp>

#include <atomic>
#include <memory>
#include <new>
#include <pthread.h>
#include <utility>

namespace handoff::detail {

namespace {

struct kept {
    PyThreadState* state = nullptr;
    bool leaves = false;
    kept* next = nullptr;
};

/// Any thread adds; one at a time takes all. Release and acquire: a thread that takes a state sees
/// all that the state's own thread did with it.
class kept_list {
public:
    void add(kept* each) noexcept {
        each->next = first_.load(std::memory_order_relaxed);
        while (!first_.compare_exchange_weak(each->next, each, std::memory_order_release,
                                             std::memory_order_relaxed)) {
        }
    }

    template <class Work>
    void take_each(Work work) {
        for (kept* each = first_.exchange(nullptr, std::memory_order_acquire); each != nullptr;) {
            work(std::exchange(each, each->next));
        }
    }

private:
    std::atomic<kept*> first_ = nullptr;
};

constinit kept_list left;  // states of threads that have ended
constinit kept_list cleared;  // those of them that need only be deleted

/// Neither list outlives the states. Python deletes these when it ends, and in the child of a fork.
void forget_all() noexcept {
    for (kept_list* const list : {&left, &cleared}) {
        list->take_each([](kept* each) { delete each; });
    }
}

/// GIL: held.
void forget_all_at_the_end() noexcept {
    static constinit std::atomic<bool> is_registered = false;
    if (!is_registered.load(std::memory_order_relaxed) && !is_registered.exchange(true)) {
        is_registered = Py_AtExit([] {
                            forget_all();
                            is_registered = false;
                        }) == 0;
    }
}

/// REQUIRES: Python does not finalize meanwhile; the thread has no state, or no longer needs it.
void delete_cleared() noexcept {
    cleared.take_each([](kept* each) {
        delete_cleared_thread_state(each->state);
        delete each;
    });
}

/// GIL: held; what is dropped may run any code.
void clear_left() noexcept {
    rather_hang([] {
        left.take_each([](kept* each) {
            PyThreadState_Clear(each->state);
            cleared.add(each);
        });
    });
}

void leave(void* own) noexcept;

/// The key whose destructor is called when a thread ends, if one could be made.
struct thread_key {
    thread_key() noexcept
        : exists(pthread_key_create(&key, &leave) == 0 &&
                 pthread_atfork(nullptr, nullptr, &forget_all) == 0) {}

    pthread_key_t key{};
    bool exists;
};

thread_key const& states() noexcept {
    static thread_key const only;
    return only;
}

void leave(void* own) noexcept {
    auto* const its = static_cast<kept*>(own);
    // Destructors of other keys may still acquire, with this state as long as Python's own key
    // names it. In the next round that key is empty, as all are. Source: pthread_key_create(3p).
    if (!std::exchange(its->leaves, true) && pthread_setspecific(states().key, its) == 0) {
        return;
    }
    passage const last;
    if (!last.python_is_there()) {
        delete its;
    } else if constexpr (attached_threads_exclude_each_other) {
        delete_cleared();
        left.add(its);
    } else {
        if (!gil_held()) {  // by a guard whose scope the thread never left
            PyEval_RestoreThread(its->state);
            delete_thread_state();
        }
        delete its;
    }
}

}  // namespace

void acquire_with_new_state() {
    if (Py_IsInitialized() == 0) {
        rule_broken("acquiring the GIL",
                    "there is no Python: it has not been started, or has ended",
                    "start it first, or use gil_try_acquire, which says whether Python is there");
    }
    delete_cleared();
    auto own = std::make_unique<kept>();
    PyThreadState* const made = new_thread_state();
    own->state = made;
    auto const [key, exists] = states();
    auto* const former = exists ? static_cast<kept*>(pthread_getspecific(key)) : nullptr;
    bool const is_kept = exists && pthread_setspecific(key, own.get()) == 0;
    await_gil([made] { PyEval_RestoreThread(made); });
    if (!is_kept) {
        delete_thread_state();
        throw std::bad_alloc();
    }
    static_cast<void>(own.release());
    if (former != nullptr) {  // the thread is ending, and Python's key no longer names it
        if constexpr (attached_threads_exclude_each_other) {
            left.add(former);
        } else {
            delete former;  // the state goes with Python
        }
    }
    forget_all_at_the_end();
    clear_left();
}

}  // namespace handoff::detail
