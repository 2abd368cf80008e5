// gil_held(): up to CPython 3.11, in a subinterpreter.
//
// Problem
//   One variable of the runtime says which thread state holds the GIL, not which thread. To run a
//   subinterpreter, a thread uses one of that interpreter's states, which any other thread may have
//   made. The thread's own state, which PyGILState_* knows, still belongs to the main interpreter.
//
// Idea
//   A state leads to the C frame of the innermost evaluation of Python code. That frame is in the
//   stack of the thread that executes it.
//
// Limits
//   If no Python code is being executed, there is no such frame, and the answer is no. A state of
//   another thread may be deleted at any moment. So the system reads it, which tolerates that.
#include <handoff/gil/held.hpp>

#if PY_VERSION_HEX < 0x030C0000

#include <cstddef>
#include <cstdint>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

namespace handoff::detail {

namespace {

/// The highest address of the calling thread's stack; null if it cannot be found.
char const* top_of_stack() noexcept {
    static thread_local char const* const top = []() -> char const* {
        pthread_attr_t attributes;
        if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
            return nullptr;
        }
        void* lowest = nullptr;
        std::size_t size = 0;
        pthread_attr_getstack(&attributes, &lowest, &size);
        pthread_attr_destroy(&attributes);
        return static_cast<char const*>(lowest) + size;
    }();
    return top;
}

}  // namespace

bool is_executed_here(PyThreadState* current) noexcept {
    if (PyInterpreterState_Head() == PyInterpreterState_Main()) {
        return false;  // the newest interpreter is the first: there is no subinterpreter
    }
    static constexpr std::size_t size = sizeof(void*);
    _PyCFrame* innermost = nullptr;
    iovec const here{.iov_base = static_cast<void*>(&innermost), .iov_len = size};
    iovec const there{.iov_base = static_cast<void*>(&current->cframe), .iov_len = size};
    if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != ssize_t{size}) {
        return false;
    }
    auto const address = [](void const* place) { return reinterpret_cast<std::uintptr_t>(place); };
    return address(__builtin_frame_address(0)) < address(innermost) &&
           address(innermost) < address(top_of_stack());
}

}  // namespace handoff::detail

#endif
