// running_python: finds it, and checks that the events of its GIL arrive.
#include "running_python.hpp"

#include <dlfcn.h>
#include <optional>
#include <stdexcept>

namespace handoff::detail {

namespace {

/// So that a Python whose events are not seen is not mistaken for a quiet one.
bool events_are_seen(running_python const& python) {
    if (!handoff_gil_held) {
        return false;
    }
    void* const state = python.save();
    bool const dropped = !handoff_gil_held;
    python.restore(state);
    return dropped && handoff_gil_held;
}

}  // namespace

std::optional<loaded_object> object_with_python() {
    std::optional<loaded_object> found;
    for_each_loaded_object([&](loaded_object const& each) {
        if (!found && each.find("_PyRuntime").address != nullptr) {
            found = each;
        }
    });
    return found;
}

running_python const* running_python::find() {
    static std::optional<running_python> found;
    if (found) {
        return &*found;
    }
    auto const object = object_with_python();
    if (!object) {
        return nullptr;
    }
    auto const* const version =
        static_cast<unsigned long const*>(object->find("Py_Version").address);
    if (version == nullptr) {
        throw std::runtime_error("it is older than 3.11");
    }
    running_python python{.object = *object,
                          .version = *version,
                          .is_free_threaded = object->find("_Py_DecRefShared").address != nullptr};
    python.look_up(python.is_initialized, "Py_IsInitialized");
    python.look_up(python.is_finalizing, "_Py_IsFinalizing");  // since 3.13 public, as the next
    if (python.is_finalizing == nullptr) {
        python.look_up(python.is_finalizing, "Py_IsFinalizing");
    }
    python.look_up(python.this_threads_state, "PyGILState_GetThisThreadState");
    python.look_up(python.save, "PyEval_SaveThread");
    python.look_up(python.restore, "PyEval_RestoreThread");
    if (python.version >= 0x030D0000) {
        python.look_up(python.current_state, "PyThreadState_GetUnchecked");
    } else if (python.version >= 0x030C0000) {
        python.look_up(python.current_state, "_PyThreadState_UncheckedGet");
    }
    found = python;
    return &*found;
}

bool running_python::has_gil_now() const {
    if (!is_free_threaded) {
        return true;
    }
    void* (*find_in_sys)(char const*) = nullptr;  // borrowed
    void* (*call)(void*) = nullptr;
    int (*is_true)(void*) = nullptr;
    void (*drop)(void*) = nullptr;
    look_up(find_in_sys, "PySys_GetObject");
    look_up(call, "PyObject_CallNoArgs");
    look_up(is_true, "PyObject_IsTrue");
    look_up(drop, "Py_DecRef");
    void* const answer = call(find_in_sys("_is_gil_enabled"));
    bool const is_on = answer != nullptr && is_true(answer) == 1;
    drop(answer);
    return is_on;
}

void running_python::require_gil() const {
    if (is_free_threaded) {
        throw std::runtime_error(
            "it is a free-threaded build, in which threads do not wait for each other's GIL; run "
            "the program in a Python with a GIL. Without one there are gilcheck, with --deadlocks, "
            "and gilwatch");
    }
}

void running_python::keep_loaded() const noexcept {
    if (*object.path() != '\0') {  // the program itself stays
        dlopen(object.path(), RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

void listen_to_gil(running_python const& python, gil_listener const& listener) {
    bool const held = python.is_initialized() != 0;
    if (!listen_to_gil(python.object, held, listener)) {
        throw std::runtime_error("its calls to pthread_cond_signal cannot be redirected");
    }
    if (held && !events_are_seen(python)) {
        dismiss(listener);
        throw std::runtime_error("it does not tell when the GIL is taken and dropped");
    }
}

}  // namespace handoff::detail
