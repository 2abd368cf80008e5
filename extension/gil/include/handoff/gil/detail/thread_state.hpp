// new_thread_state(): makes a native thread's Python state, avoiding two faults of CPython 3.11.
#pragma once

#include <handoff/gil/python.hpp>

#include <mutex>
#include <new>
#include <pthread.h>

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
// Exported, but declared in an internal header.
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" void _PyThreadState_SetCurrent(PyThreadState*);
#endif

namespace handoff::detail {

#if PY_VERSION_HEX < 0x030C0000

/// A mutex that fork() takes. A native thread makes its state without the GIL, and locks the list
/// of all states for that. If the process forks at that moment, the child waits for that lock
/// forever.
/// Source: cpython #112275, fixed in 3.12.0 and 3.11.10.
///
/// Default visibility: a host and the modules that it loads share it.
class [[gnu::visibility("default")]] fork_waits {
public:
    fork_waits() : held_(mutex) {}

private:
    static inline std::mutex mutex;
    static void before_fork() noexcept { mutex.lock(); }
    static void after_fork() noexcept { mutex.unlock(); }
    [[maybe_unused]] static inline bool const is_tied =
        pthread_atfork(&before_fork, &after_fork, &after_fork) == 0;

    std::scoped_lock<std::mutex> held_;
};

#endif

/// A state for the calling thread, which has none. It is not current, because the GIL is not taken.
///
/// GIL:    not needed, unchanged.
/// Throws: std::bad_alloc.
inline PyThreadState* new_thread_state() {
#if PY_VERSION_HEX < 0x030C0000
    fork_waits const meanwhile;
#endif
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
    // PyThreadState_New() of 3.11 crashes if there is no memory; these are its two halves.
    // Source: CPython 3.11's Python/pystate.c.
    PyThreadState* const made = _PyThreadState_Prealloc(PyInterpreterState_Main());
    if (made != nullptr) {
        _PyThreadState_SetCurrent(made);
    }
#else
    PyThreadState* const made = PyThreadState_New(PyInterpreterState_Main());
#endif
    if (made == nullptr) {
        throw std::bad_alloc();
    }
    return made;
}

/// Deletes the calling thread's state, which new_thread_state() made. GIL: held, then released.
inline void delete_thread_state() noexcept {
    PyThreadState_Clear(PyThreadState_Get());
    PyThreadState_DeleteCurrent();
}

/// Deletes a cleared state of a thread that has ended. GIL: not needed, unchanged.
inline void delete_cleared_thread_state(PyThreadState* cleared) noexcept {
#if PY_VERSION_HEX < 0x030C0000
    fork_waits const meanwhile;
#endif
    PyThreadState_Delete(cleared);
}

}  // namespace handoff::detail
