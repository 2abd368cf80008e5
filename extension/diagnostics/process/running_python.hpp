// running_python: the interpreter of this process, which may be loaded later than this code.
#pragma once

#include "gil_events.hpp"
#include "loaded_objects.hpp"

#include <optional>

namespace handoff::detail {

/// The object that contains CPython, of any version; nothing: none, or its symbols are hidden.
[[nodiscard]] std::optional<loaded_object> object_with_python();

/// The object that contains CPython, its version, and the functions of it that both tools call.
struct running_python {
    loaded_object object;  // see keep_loaded()
    unsigned long version = 0;  // PY_VERSION_HEX
    bool is_free_threaded =
        false;  // a build whose GIL is off, unless it is switched on: see has_gil_now()
    int (*is_initialized)() = nullptr;
    int (*is_finalizing)() = nullptr;  // null: this Python does not say
    void* (*current_state)() = nullptr;  // of the calling thread; from 3.12 on, null before
    void* (*this_threads_state)() = nullptr;  // also of a thread that has released the GIL
    void* (*save)() = nullptr;
    void (*restore)(void*) = nullptr;

    /// Null: there is none in this process yet, or its symbols are hidden.
    /// Throws: std::runtime_error, with what is wrong with it: it is too old.
    /// Threads: one at a time, and any once it was found.
    static running_python const* find();

    /// Whether a thread that asks for the GIL never gets it any more. GIL: any; not touched. May be
    /// called in a signal's handler.
    [[nodiscard]] bool is_ending() const noexcept {
        return is_finalizing != nullptr && is_finalizing() != 0;
    }

    /// Whether threads take turns: in a free-threaded build PYTHON_GIL=1, or the import of a module
    /// that does not say that it needs no GIL, switches it on. GIL: held.
    [[nodiscard]] bool has_gil_now() const;

    /// For a tool that shows which thread has the GIL. Throws: std::runtime_error without a GIL.
    void require_gil() const;

    /// From now on it is not unloaded, even if the program closes it, as a program does that loads
    /// Python for a plugin: what is known of it is used as long as the process lives.
    /// REQUIRES: it is still loaded; no mutex is held that is taken beside a dlopen(), whose lock
    ///           this takes.
    /// Source:   RTLD_NODELETE: dlopen(3).
    void keep_loaded() const noexcept;

    template <class Function>
    void look_up(Function& function, char const* name) const {
        function = reinterpret_cast<Function>(object.find(name).address);
    }
};

/// From now on the listener receives the events of the GIL; dismiss() ends that. If Python runs,
/// releases the GIL once and takes it back, to check that the events arrive.
///
/// GIL:     held, and so on return; or Python is not initialised.
/// Throws:  std::runtime_error: the sentence says why this Python's GIL cannot be listened to.
void listen_to_gil(running_python const& python, gil_listener const& listener);

}  // namespace handoff::detail
