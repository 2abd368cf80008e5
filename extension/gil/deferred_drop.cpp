// deferred_drops: which thread empties the list, and when.
//
// Overview
//   A thread that does not hold the GIL must not wait for it to drop a reference: it may hold a
//   mutex for which the holder of the GIL waits. So it adds what it owned to a list. The first of
//   these empties the list:
//     - a Handoff guard that takes the GIL: gil_acquire, gil_try_acquire, the end of gil_release
//     - a pending call, which Python's main thread makes when it executes Python code; up to 3.12
//       only after it has released the GIL once, because a pending call from another thread does
//       not make it check (cpython #95820)
//     - the gate, after it has closed
//   What is added later ends with the interpreter.
//
// Adding is one compare-and-swap. The first in the list also requests the pending call, which takes
// one of Python's mutexes. It is held for moments, never by a thread that waits for the GIL.
//
// Memory order
//   A thread that adds writes the object and then the list's head; a thread that empties the list
//   reads the head and then the objects: release and acquire. Both also do the other half, so that
//   no request is missed. The pending call takes its request back before it empties the list. A
//   thread that adds after that reads the head which the emptying wrote. So it also reads that
//   there is no request, and asks. The requests themselves need no order.
//
// In a fork's child the list has the same content. Nothing is lost that the forking thread added.
// What another thread was about to add belongs to no thread any more. The pending call may not have
// been requested yet.
#include <handoff/gil/detail/deferred_drop.hpp>
#include <handoff/gil/detail/error_aside.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/gate.hpp>

#include <mutex>
#include <pthread.h>
#include <utility>

#if PY_VERSION_HEX < 0x030C0000
// Exported, but declared in an internal header. Py_AddPendingCall() of 3.11 reads the current
// thread state. If the caller does not hold the GIL, that is another thread's, and may be deleted.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" int _PyEval_AddPendingCall(PyInterpreterState* interpreter, int (*call)(void*),
                                      void* argument);
#endif

namespace handoff::detail {

namespace {

[[maybe_unused]] bool const is_tied_to_fork =
    pthread_atfork(nullptr, nullptr, [] { drops.ask_again(); }) == 0;

bool add_pending_call(int (*call)(void*), void* argument) noexcept {
#if PY_VERSION_HEX < 0x030C0000
    return _PyEval_AddPendingCall(PyInterpreterState_Main(), call, argument) == 0;
#else
    return Py_AddPendingCall(call, argument) == 0;
#endif
}

}  // namespace

void deferred_drops::push(std::atomic<deferred_drop*>& list, deferred_drop* added) noexcept {
    added->next_ = list.load(std::memory_order_relaxed);
    while (!list.compare_exchange_weak(added->next_, added, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
    }
}

void deferred_drops::add(std::unique_ptr<deferred_drop> owner) noexcept {
    push(first_, owner.release());
    ask_once();
}

void deferred_drops::ask_once() noexcept {
    unsigned long const life = python_life();
    if (asked_in_life_.load(std::memory_order_relaxed) != life &&
        asked_in_life_.exchange(life, std::memory_order_relaxed) != life) {
        ask_for_a_pending_call();
    }
}

void deferred_drops::ask_for_a_pending_call() noexcept {
    auto const made = [](void* its) {
        auto& list = *static_cast<deferred_drops*>(its);
        list.asked_in_life_.store(0, std::memory_order_relaxed);
        list.drop();
        return 0;
    };
    passage const python;  // keeps Python from ending meanwhile
    if (!python.python_is_there() || !add_pending_call(made, this)) {
        asked_in_life_.store(0, std::memory_order_relaxed);  // the next one asks again
    }
}

void deferred_drops::take_up() noexcept {
    std::scoped_lock const alone(exclusion_);
    deferred_drop* added = nullptr;
    for (deferred_drop* each = first_.exchange(nullptr, std::memory_order_acq_rel);
         each != nullptr;) {
        added = std::exchange(each, std::exchange(each->next_, added));
    }
    deferred_drop* last = in_order_;
    if (last == nullptr) {
        in_order_ = added;
        return;
    }
    while (last->next_ != nullptr) {
        last = last->next_;
    }
    last->next_ = added;
}

deferred_drop* deferred_drops::take_next() noexcept {
    std::scoped_lock const alone(exclusion_);
    deferred_drop* const next = in_order_;
    if (next != nullptr) {
        in_order_ = next->next_;
    }
    return next;
}

void deferred_drops::drop() noexcept {
    // A finalizer that is running here ends first: no order is lost, and no stack grows.
    static constinit thread_local bool is_dropping = false;
    if (is_dropping || PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return;
    }
    error_aside const meanwhile;
    rather_hang([this] {
        is_dropping = true;
        take_up();
        while (deferred_drop* const each = take_next()) {  // a finalizer may let others in, or fork
            if (each->is_of_this_life()) {
                delete each;
            } else {
                push(left_alone_, each);
            }
        }
        is_dropping = false;
    });
    if (first_.load(std::memory_order_relaxed) != nullptr) {  // added meanwhile
        ask_once();
    }
}

}  // namespace handoff::detail
