// Library any_python: faults for the tools to find, in any Python by ctypes: without Python.h.
#include <thread>

extern "C" {

struct python_object;
// NOLINTBEGIN(readability-identifier-naming): as Python has them
long PyList_Size(python_object* list);
int PyGILState_Ensure();
void PyGILState_Release(int state);
// NOLINTEND(readability-identifier-naming)

[[gnu::noinline]] void measure(python_object* list) {
    long volatile seen = PyList_Size(list);
    static_cast<void>(seen);
}

/// A native thread that never acquires the GIL. For ctypes.CDLL.
void use_without_gil(python_object* list) {
    std::thread([list] { measure(list); }).join();
}

void append_to_log() { PyGILState_Release(PyGILState_Ensure()); }

/// Waits, with the GIL, for a thread that wants it: never returns. For ctypes.PyDLL.
void join_with_gil() { std::thread(&append_to_log).join(); }
}
