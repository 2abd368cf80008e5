// kept_state: who makes it, who clears it and who deletes it, so that no thread waits as it ends.
//
// Overview
//   A state can be cleared by whoever holds the GIL, and then be deleted without it. So a thread
//   that ends leaves its state to others; the next native thread that acquires for the first time
//   clears it, and the next that begins or ends deletes it. A few states outlive their threads, as
//   few as there were threads at a time; what remains is Python's to clear when it finalizes.
//
// Why not by the thread itself
//   It would take the GIL as it ends, and who joins it while holding the GIL would wait for ever.
//
// Why in two steps
//   From 3.12 on, PyThreadState_Delete() makes PyGILState_* forget the state of the calling thread,
//   whichever state is deleted. So that is done where the thread has no state yet, or needs none
//   any more. Source: CPython 3.12's Python/pystate.c, unbind_gilstate_tstate().
#include <handoff/gil/detail/assertion.hpp>
#include <handoff/gil/detail/kept_state.hpp>
#include <handoff/gil/detail/thread_state.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/detail/waiting.hpp>
#include <handoff/gil/gate.hpp>

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

/// Any thread adds; one at a time takes all. Release and acquire: whoever takes a state sees all
/// that its thread did with it.
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

constinit kept_list left;  // by threads that have ended
constinit kept_list cleared;  // of those, what need only be deleted

/// Neither list outlives the states. Python deletes them when it ends, and in the child of a fork.
void forget_all() noexcept {
    for (kept_list* const list : {&left, &cleared}) {
        list->take_each([](kept* each) { delete each; });
    }
}

/// GIL: held.
void forget_all_at_the_end() noexcept {
    static bool is_registered = false;
    if (!is_registered) {
        is_registered = Py_AtExit([] {
                            forget_all();
                            is_registered = false;
                        }) == 0;
    }
}

/// REQUIRES: Python does not finalize meanwhile; the thread has no state, or needs it no more.
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

/// Whether there is a key, and which: its destructor is called when the thread ends.
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
    // Other keys' destructors may acquire yet, with this state while Python's own key names it.
    // In the next round that key is empty, as all are. Source: pthread_key_create(3p).
    if (!std::exchange(its->leaves, true) && pthread_setspecific(states().key, its) == 0) {
        return;
    }
    passage const last;
    if (last.python_is_there()) {
        delete_cleared();
        left.add(its);
    } else {
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
    if (former != nullptr) {
        left.add(former);  // the thread is ending, and Python's key does not name it any more
    }
    forget_all_at_the_end();
    clear_left();
}

}  // namespace handoff::detail
