// lock_detached(): a thread waits for one of Handoff's mutexes while others can stop the world.
#include <handoff/gil/detail/free_threading.hpp>

#ifdef Py_GIL_DISABLED

#include <handoff/gil/held.hpp>

namespace handoff::detail {

void lock_detached(std::mutex& wanted) {
    while (!wanted.try_lock()) {
        // A mutex that is locked inside another one is free in a moment, because its holder runs no
        // Python code. And with the outer one held, attaching could last until the process ends.
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
