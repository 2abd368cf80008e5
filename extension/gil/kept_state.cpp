// kept_state: the state lives in a key of the thread's, whose destructor the thread's end calls.
#include <handoff/gil/gate.hpp>
#include <handoff/gil/kept_state.hpp>
#include <handoff/gil/thread_state.hpp>
#include <handoff/gil/waiting.hpp>

#include <new>
#include <pthread.h>

namespace handoff::detail {

namespace {

void delete_kept_state(void* kept) noexcept {
    auto const acquire_and_delete = [kept] {
        await_gil([kept] { PyEval_RestoreThread(static_cast<PyThreadState*>(kept)); });
        delete_thread_state();
    };
    passage last{{}};
    if (last.admitted()) {
        static_cast<void>(last.unless_abandoned(acquire_and_delete, [] {}));
    } else if (!gil_gate::was_opened() && Py_IsInitialized() != 0) {
        acquire_and_delete();
    }
}

/// Whether there is a key, and which.
struct thread_key {
    thread_key() noexcept : exists(pthread_key_create(&key, &delete_kept_state) == 0) {}

    pthread_key_t key{};
    bool exists;
};

}  // namespace

PyThreadState* new_kept_state() {
    static thread_key const states;
    PyThreadState* const made = new_thread_state();
    if (!states.exists || pthread_setspecific(states.key, made) != 0) {
        PyEval_RestoreThread(made);
        delete_thread_state();
        throw std::bad_alloc();
    }
    return made;
}

}  // namespace handoff::detail
