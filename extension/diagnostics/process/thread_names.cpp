// thread_names: adds to what `threading` calls when a thread begins.
#include "thread_names.hpp"

#include "python_code.hpp"

#include <atomic>
#include <fstream>
#include <string>
#include <unistd.h>

namespace handoff::detail {

namespace {

/// Follows a line that sets is_main. Changes nothing if `threading` is being imported just now.
constexpr auto code = R"(
import posix, sys

def name_threads(threading):
    note_id = threading.Thread._set_native_id

    def with_comm(id, flags, work):
        comm = posix.open(f"/proc/self/task/{id}/comm", flags | posix.O_CLOEXEC)
        try:
            return work(comm)
        finally:
            posix.close(comm)

    def comm_of(id):
        return with_comm(id, posix.O_RDONLY, lambda comm: posix.read(comm, 16))

    def give_name(thread, unless_named=False):
        id = thread.native_id
        if isinstance(thread, threading._DummyThread) or id == posix.getpid():
            return
        try:
            if unless_named and comm_of(id) != comm_of(posix.getpid()):
                return
            name = thread.name.encode()[:15].decode(errors="ignore").encode()
            with_comm(id, posix.O_WRONLY, lambda comm: posix.write(comm, name))
        except Exception:  # whatever an audit hook raises, too
            pass

    def note_id_and_name(thread):
        note_id(thread)
        give_name(thread)

    if note_id.__module__ == "threading":
        threading.Thread._set_native_id = note_id_and_name
        for thread in list(threading._active.values()):  # whose lock may be held
            give_name(thread, unless_named=True)

if is_main:
    try:
        import threading
    except ImportError:  # the program forbids it, or has none
        pass
if hasattr(sys.modules.get("threading"), "_DummyThread"):
    name_threads(sys.modules["threading"])
)";

/// GIL: held.
void run_code(bool is_main) {
    // If it raises, the threads keep the names that they have.
    static_cast<void>(
        run_python((std::string(is_main ? "is_main = True" : "is_main = False") + code).c_str()));
}

}  // namespace

std::string system_name_of(pid_t thread) {
    std::string name;
    std::getline(std::ifstream("/proc/self/task/" + std::to_string(thread) + "/comm"), name);
    return name;
}

std::string own_name_of(pid_t thread, std::string const& name) {
    pid_t const main = getpid();
    return thread == main ? "MainThread" : name == system_name_of(main) ? "" : name;
}

std::string thread_in_words(pid_t thread, std::string const& name) {
    std::string const id = std::to_string(thread);
    std::string const own = own_name_of(thread, name);
    return thread == getpid() ? "the main thread (" + id + ")"
           : own.empty()      ? id
                              : id + " '" + own + "'";
}

void name_threads(running_python const& python, bool held) {
    static std::atomic<bool> is_asked = false;
    if (python.version >= 0x030E0000 || is_asked.exchange(true)) {
        return;
    }
    int (*add_pending_call)(int (*)(void*), void*) = nullptr;
    prepare_python_code(python.object);
    python.look_up(add_pending_call, "Py_AddPendingCall");
    if (held) {
        run_code(false);  // the main thread may be busy for long
    }
    add_pending_call(
        [](void*) {
            run_code(true);
            return 0;
        },
        nullptr);
}

}  // namespace handoff::detail
