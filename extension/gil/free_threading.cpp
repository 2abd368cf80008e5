// free_threading: the functions of the header.
#include <handoff/gil/detail/free_threading.hpp>

#ifdef Py_GIL_DISABLED

#include <handoff/gil/held.hpp>

namespace handoff::detail {

/// Only a free-threaded Python has it; the loader looks for it at once.
[[gnu::used]] void (*const wanted_of_python)(PyObject*) = &_Py_DecRefShared;

bool refuse_free_threaded_python() noexcept { return false; }

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

#else

// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming): CPython's name
extern "C" [[gnu::weak]] void _Py_DecRefShared(PyObject*);

namespace handoff::detail {

bool refuse_free_threaded_python() noexcept {
    if (&_Py_DecRefShared == nullptr) {
        return false;
    }
    PyErr_SetString(PyExc_ImportError,
                    "this module was built for a Python with a GIL, and this Python is a "
                    "free-threaded build, whose objects have another layout: build the module for "
                    "this Python");
    return true;
}

}  // namespace handoff::detail

#endif
