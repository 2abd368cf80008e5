// Module misuse_c: the C API called without the GIL, in each of the ways to come to that.
#include <handoff/gil.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <pthread.h>
#include <stdexcept>
#include <thread>

namespace {

/// So that no call is the last thing that a function does, and gives its frame to it.
Py_ssize_t volatile seen;

/// A native thread that never acquires the GIL.
PyObject* never_acquired(PyObject* /*module*/, PyObject* list) {
    std::thread thread([list] {
        pthread_setname_np(pthread_self(), "never");
        seen = PyList_Size(list);
    });
    Py_BEGIN_ALLOW_THREADS;
    thread.join();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/// The same, and the call is the last thing that the thread's function does.
PyObject* as_the_last_call(PyObject* /*module*/, PyObject* list) {
    std::thread thread([list] { PyList_Size(list); });
    Py_BEGIN_ALLOW_THREADS;
    thread.join();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/// A native thread that appends to a list now and then, and is left to itself.
PyObject* start(PyObject* /*module*/, PyObject* list) {
    Py_INCREF(list);
    std::thread([list] {
        while (true) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            seen = PyList_Append(list, Py_None);
        }
    }).detach();
    Py_RETURN_NONE;
}

/// The same as never_acquired(), while the thread that made it has the GIL.
PyObject* beside_a_holder(PyObject* /*module*/, PyObject* list) {
    std::thread([list] { seen = PyList_Size(list); }).join();
    Py_RETURN_NONE;
}

[[gnu::noinline]] void from_levels_above(PyObject* list, int levels) {
    if (levels == 0) {
        seen = PyList_Size(list);
    } else {
        from_levels_above(list, levels - 1);
        seen = levels;
    }
}

/// The same below a deep stack: of so many calls more.
PyObject* deep(PyObject* /*module*/, PyObject* levels) {
    std::thread([levels, count = static_cast<int>(PyLong_AsLong(levels))] {
        from_levels_above(levels, count);
    }).join();
    Py_RETURN_NONE;
}

/// A native thread with a name of its own calls a function of Python's, and then without the GIL.
PyObject* after_a_call(PyObject* /*module*/, PyObject* function) {
    std::thread thread([function] {
        pthread_setname_np(pthread_self(), "native");
        PyGILState_STATE const found = PyGILState_Ensure();
        Py_XDECREF(PyObject_CallNoArgs(function));
        PyGILState_Release(found);
        seen = PyObject_Size(function);
    });
    Py_BEGIN_ALLOW_THREADS;
    thread.join();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/// A guard inside another one's region.
PyObject* released_twice(PyObject* /*module*/, PyObject* /*list*/) {
    Py_BEGIN_ALLOW_THREADS;
    PyThreadState* const again = PyEval_SaveThread();
    PyEval_RestoreThread(again);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/// One PyGILState_Ensure(), and two ends of it.
PyObject* ended_twice(PyObject* /*module*/, PyObject* /*list*/) {
    std::thread thread([] {
        PyGILState_STATE const found = PyGILState_Ensure();
        PyGILState_Release(found);
        PyGILState_Release(found);
        seen = 1;
    });
    Py_BEGIN_ALLOW_THREADS;
    thread.join();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/// No misuse of Python's: nobody catches what the thread throws.
PyObject* uncaught(PyObject* /*module*/, PyObject* /*list*/) {
    std::thread([] { throw std::runtime_error("no sensor"); }).join();
    Py_RETURN_NONE;
}

/// A call within the region that released the GIL.
PyObject* released(PyObject* /*module*/, PyObject* list) {
    PyThreadState* const state = PyEval_SaveThread();
    seen = PyList_Size(list);
    PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

/// A call after the guard has ended.
PyObject* after_the_guard(PyObject* /*module*/, PyObject* list) {
    std::thread thread([list] {
        PyGILState_STATE const found = PyGILState_Ensure();
        seen = PyList_Size(list);
        PyGILState_Release(found);
        seen = PyList_Size(list);
    });
    Py_BEGIN_ALLOW_THREADS;
    thread.join();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/// The same beside a thread that has ended with the GIL held.
PyObject* after_a_holder_has_ended(PyObject* /*module*/, PyObject* list) {
    PyThreadState* const state = PyEval_SaveThread();
    std::thread([] {
        pthread_setname_np(pthread_self(), "ends");
        seen = PyGILState_Ensure();
    }).join();
    seen = PyList_Size(list);
    PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

/// A thread that goes on when Python has ended.
PyObject* finalized(PyObject* /*module*/, PyObject* /*none*/) {
    static std::atomic<bool> ended = false;
    static std::thread thread([] {
        while (!ended) {
            std::this_thread::yield();
        }
        PyErr_Occurred();
    });
    Py_AtExit([] {
        ended = true;
        thread.join();
    });
    Py_RETURN_NONE;
}

/// What a lambda has captured is dropped after the guard in it.
PyObject* captured(PyObject* /*module*/, PyObject* /*none*/) {
    struct drop {
        void operator()(PyObject* owned) const noexcept { Py_DECREF(owned); }
    };
    std::thread thread([list = std::unique_ptr<PyObject, drop>(PyList_New(0))] {
        PyGILState_STATE const found = PyGILState_Ensure();
        seen = PyList_Size(list.get());
        PyGILState_Release(found);
    });
    Py_BEGIN_ALLOW_THREADS;
    thread.join();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/// An object with static storage, whose destructor comes after Python's end.
PyObject* kept_for_ever(PyObject* /*module*/, PyObject* list) {
    struct drop {
        void operator()(PyObject* owned) const noexcept { Py_DECREF(owned); }
    };
    static std::unique_ptr<PyObject, drop> const only(Py_NewRef(list));
    Py_RETURN_NONE;
}

/// A function that C calls at the end, when Python has ended.
PyObject* at_c_exit(PyObject* /*module*/, PyObject* /*none*/) {
    std::atexit([] { PyErr_Occurred(); });
    Py_RETURN_NONE;
}

/// Everything as it should be.
PyObject* guarded(PyObject* /*module*/, PyObject* list) {
    std::thread thread([list] {
        PyGILState_STATE const found = PyGILState_Ensure();
        seen = PyList_Size(list);
        PyGILState_Release(found);
    });
    Py_BEGIN_ALLOW_THREADS;
    thread.join();
    Py_END_ALLOW_THREADS;
    return PyLong_FromSsize_t(PyList_Size(list));
}

/// The same with our guard.
PyObject* acquired(PyObject* /*module*/, PyObject* list) {
    std::thread thread([list] {
        handoff::gil_acquire const gil;
        seen = PyList_Size(list);
    });
    {
        handoff::gil_release const while_joining;
        thread.join();
    }
    return PyLong_FromSsize_t(PyList_Size(list));
}

// As every module writes them.
// NOLINTBEGIN(modernize-use-designated-initializers)
PyMethodDef methods[] = {{"never_acquired", &never_acquired, METH_O, nullptr},
                         {"as_the_last_call", &as_the_last_call, METH_O, nullptr},
                         {"start", &start, METH_O, nullptr},
                         {"beside_a_holder", &beside_a_holder, METH_O, nullptr},
                         {"deep", &deep, METH_O, nullptr},
                         {"after_a_call", &after_a_call, METH_O, nullptr},
                         {"released", &released, METH_O, nullptr},
                         {"uncaught", &uncaught, METH_O, nullptr},
                         {"released_twice", &released_twice, METH_O, nullptr},
                         {"ended_twice", &ended_twice, METH_O, nullptr},
                         {"after_a_holder_has_ended", &after_a_holder_has_ended, METH_O, nullptr},
                         {"after_the_guard", &after_the_guard, METH_O, nullptr},
                         {"finalized", &finalized, METH_NOARGS, nullptr},
                         {"captured", &captured, METH_NOARGS, nullptr},
                         {"kept_for_ever", &kept_for_ever, METH_O, nullptr},
                         {"at_c_exit", &at_c_exit, METH_NOARGS, nullptr},
                         {"guarded", &guarded, METH_O, nullptr},
                         {"acquired", &acquired, METH_O, nullptr},
                         {}};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "misuse_c", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};
// NOLINTEND(modernize-use-designated-initializers)

}  // namespace

PyMODINIT_FUNC PyInit_misuse_c() { return PyModule_Create(&definition); }
