// lock_detached(): a thread waits for a mutex of ours, and others can stop the world meanwhile.
#include <handoff/gil/detail/free_threading.hpp>

#ifdef Py_GIL_DISABLED

#include <handoff/gil/held.hpp>

namespace handoff::detail {

void lock_detached(std::mutex& wanted) {
    while (!wanted.try_lock()) {
        // Of a mutex that is locked within another nobody runs Python code as he has it: it is free
        // in a moment. And to attach with the outer one could last until the process ends.
        if (!gil_held() || mutexes_held > 0) {
            wanted.lock();
            return;
        }
        PyThreadState* const own = PyEval_SaveThread();
        wanted.lock();
        wanted.unlock();
        PyEval_RestoreThread(own);
    }
}

}  // namespace handoff::detail

#endif
