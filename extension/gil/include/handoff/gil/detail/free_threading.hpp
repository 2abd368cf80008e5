// free_threading: what differs where Python has no GIL, each difference in one place.
#pragma once

#include <handoff/gil/python.hpp>

#include <atomic>
#include <cstdint>

#ifdef Py_GIL_DISABLED
#include <handoff/gil/mutex.hpp>
#endif

// "The GIL is held" means on every build: the calling thread is attached to Python, that is, it has
// a current thread state. With a GIL one thread is attached at a time. On a free-threaded build
// many are, and what the GIL guarded beside that needs a guard of its own.
// Source: PEP 703; CPython's Doc/howto/free-threading-extensions.rst.

namespace handoff::detail {

/// Whether attached threads exclude each other. Where PYTHON_GIL=1 gives a free-threaded build its
/// GIL back, they do, and this is false: what is right without a GIL is right with one.
inline constexpr bool attached_threads_exclude_each_other =
#ifdef Py_GIL_DISABLED
    false;
#else
    true;
#endif

/// For what a thread writes before it reads what another has written, which does so the other way
/// round: one of them must see the other's. Attached threads that exclude each other do anyway.
inline constexpr std::memory_order order_of_attached =
    attached_threads_exclude_each_other ? std::memory_order_relaxed : std::memory_order_seq_cst;

#ifdef Py_GIL_DISABLED

/// Returns: whether it was free. Python has no function for that; the lowest bit is "locked".
/// Source: CPython's Include/cpython/pylock.h.
[[nodiscard]] inline bool try_lock(PyMutex& wanted) noexcept {
    std::uint8_t unlocked = 0;
    return std::atomic_ref(wanted._bits).compare_exchange_strong(unlocked, 1);
}

#endif

/// A mutex for data that the GIL guards where there is one: it is nothing there. On a
/// free-threaded build it is a mutex of Python's, and a thread that waits for it is detached.
///
/// GIL:      held; on a free-threaded build others may stop the world as the thread waits.
/// REQUIRES: no Python code is run while it is locked, nothing is waited for, and no reference is
///           dropped, as that may run a finalizer. Where a handoff::mutex is held that fork()
///           takes, try_lock(): a thread that waited would have the world stopped, by the thread
///           that forks, before it could go on and unlock that.
class gil_exclusion {
public:
#ifdef Py_GIL_DISABLED
    void lock() noexcept { PyMutex_Lock(&native_); }
    [[nodiscard]] bool try_lock() noexcept { return detail::try_lock(native_); }
    void unlock() noexcept { PyMutex_Unlock(&native_); }

private:
    PyMutex native_{};
#else
    void lock() noexcept {}
    [[nodiscard]] bool try_lock() noexcept { return true; }
    void unlock() noexcept {}
#endif
};

/// Has an object of the calling thread's die where its last reference is dropped, on any thread.
/// Without a GIL each object counts the references of the thread that made it apart; where another
/// one drops the last, it dies when that thread runs Python code next, or at a collection.
///
/// GIL:    held. Does nothing for an object that another thread has made.
/// Source: CPython's Objects/object.c, _Py_ExplicitMergeRefcount(), which is not exported.
inline void have_it_die_where_it_is_dropped([[maybe_unused]] PyObject* its) noexcept {
#ifdef Py_GIL_DISABLED
    if (!_Py_IsOwnedByCurrentThread(its) || PyUnstable_IsImmortal(its) != 0) {
        return;
    }
    Py_ssize_t const own = std::atomic_ref(its->ob_ref_local).exchange(0);
    std::atomic_ref(its->ob_tid).store(0);
    std::atomic_ref counted(its->ob_ref_shared);
    Py_ssize_t before = counted.load();
    Py_ssize_t after = 0;
    do {
        after = _Py_REF_SHARED((before >> _Py_REF_SHARED_SHIFT) + own, _Py_REF_MERGED);
    } while (!counted.compare_exchange_weak(before, after));
#endif
}

/// Of a static that attached threads share where they exclude each other; else each has its own.
#ifdef Py_GIL_DISABLED
#define HANDOFF_OF_ATTACHED_THREADS thread_local
#else
#define HANDOFF_OF_ATTACHED_THREADS
#endif

/// Keeps other threads from changing a list or dict, in a scope in which Python code lets them in
/// again, as it does where it lets go of a GIL.
///
/// GIL:    held.
/// Source: CPython's Doc/c-api/init.rst, "Critical section API".
class object_exclusion {
public:
#ifdef Py_GIL_DISABLED
    explicit object_exclusion(PyObject* its) noexcept { PyCriticalSection_Begin(&section_, its); }
    ~object_exclusion() { PyCriticalSection_End(&section_); }
    object_exclusion(object_exclusion const&) = delete;
    object_exclusion& operator=(object_exclusion const&) = delete;

private:
    PyCriticalSection section_;
#else
    explicit object_exclusion(PyObject* /*its*/) noexcept {}
#endif
};

/// Call it first in a module's PyInit function: where the running Python has other objects than the
/// Python that this was compiled for, a PyModuleDef would be misread, and Python would crash.
///
/// Returns: whether this was compiled for a Python with a GIL and runs in a free-threaded one, at
///          the same time with an ImportError that says so. The loader refuses the reverse:
///          "undefined symbol: _Py_DecRefShared".
/// GIL:     held.
[[nodiscard]] bool refuse_free_threaded_python() noexcept;

#ifdef Py_GIL_DISABLED

/// Waits for a handoff::mutex of which others have hold: detached, as an attached thread that
/// waits keeps every other from stopping the world. It does not attach while it has the mutex.
void lock_detached(std::mutex& wanted);

[[maybe_unused]] inline bool const mutexes_are_waited_for_detached =
    (how_to_wait_for_a_mutex = &lock_detached, true);

#endif

}  // namespace handoff::detail
