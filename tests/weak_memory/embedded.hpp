// embedded: the GIL, pending calls and the kernel's fence, as the modelled sources find them.
#pragma once

#include "modelled.hpp"

#include <Python.h>

namespace modelled {

/// Made anew for each run of a test. Python's own part that is not ours to check is one lock.
struct python {
    static constexpr std::size_t most_threads = 4;

    rl::mutex gil;
    std::array<PyThreadState, most_threads> states;
    std::array<bool, most_threads> holds{};
    std::vector<std::pair<int (*)(void*), void*>> pending;

    python() { only = this; }
    ~python() { only = nullptr; }

    /// As the main thread does while it executes Python code. GIL: held.
    void make_pending_calls() {
        for (auto const& [call, argument] : std::exchange(pending, {})) {
            call(argument);
        }
    }

    static inline python* only = nullptr;
};

/// A fence in each of a test's threads at one moment, between two of the caller's own:
/// membarrier().
template <unsigned Threads>
class fences {
public:
    /// To be called by each thread as it begins.
    void begin_thread() { known_.at(rl::thread_index()) = rl::ctx().threadx_; }

    void fence_all() {
        switching others;
        rl::atomic_thread_fence(rl::mo_seq_cst, $);
        for (rl::thread_info_base* const each : known_) {
            if (each != nullptr) {
                static_cast<rl::thread_info<Threads>*>(each)->atomic_thread_fence_seq_cst(
                    rl::ctx().seq_cst_fence_order_);
            }
        }
        rl::atomic_thread_fence(rl::mo_seq_cst, $);
    }

private:
    std::array<rl::thread_info_base*, Threads> known_{};
};

/// Takes the GIL for a scope.
struct with_gil {
    with_gil() { PyEval_RestoreThread(nullptr); }
    ~with_gil() { PyEval_SaveThread(); }
};

}  // namespace modelled

inline int Py_AddPendingCall(int (*call)(void*), void* argument) {
    modelled::python::only->pending.emplace_back(call, argument);
    return 0;
}
inline PyThreadState* PyThreadState_GetUnchecked() {
    modelled::python& its = *modelled::python::only;
    unsigned const me = rl::thread_index();
    return its.holds.at(me) ? &its.states.at(me) : nullptr;
}
inline PyThreadState* PyEval_SaveThread() {
    modelled::python& its = *modelled::python::only;
    PyThreadState* const saved = PyThreadState_GetUnchecked();
    its.holds.at(rl::thread_index()) = false;
    modelled::switching others;
    its.gil.unlock($);
    return saved;
}
inline void PyEval_RestoreThread(PyThreadState* /*state*/) {
    modelled::python& its = *modelled::python::only;
    modelled::switching others;
    its.gil.lock($);
    its.holds.at(rl::thread_index()) = true;
}
extern "C" inline int _PyOS_IsMainThread(void) { return 0; }
