// thread_names: by what a thread calls in Python when it begins.
#include "thread_names.hpp"

#include <atomic>
#include <string>

namespace handoff::detail {

namespace {

int (*run)(char const*, void*) = nullptr;  // PyRun_SimpleStringFlags()

/// In a namespace of its own. Of `threading` that is just being imported it changes nothing.
constexpr auto code = R"(exec('''
import posix, sys

def name_threads(threading):
    note_id = threading.Thread._set_native_id

    def note_id_and_name(thread):
        note_id(thread)
        if isinstance(thread, threading._DummyThread) or thread.native_id == posix.getpid():
            return
        try:
            name = thread.name.encode()[:15].decode(errors="ignore").encode()
            path = f"/proc/self/task/{thread.native_id}/comm"
            comm = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
            try:
                posix.write(comm, name)
            finally:
                posix.close(comm)
        except Exception:  # whatever an audit hook raises, too
            pass

    if note_id.__module__ == "threading":
        threading.Thread._set_native_id = note_id_and_name

if is_main:
    import threading
if hasattr(sys.modules.get("threading"), "_DummyThread"):
    name_threads(sys.modules["threading"])
''', {"is_main": )";

/// GIL: held.
void run_code(bool is_main) {
    run((code + std::string(is_main ? "True" : "False") + "})").c_str(), nullptr);
}

}  // namespace

void name_threads(running_python const& python, bool held) {
    static std::atomic<bool> is_asked = false;
    if (python.version >= 0x030E0000 || is_asked.exchange(true)) {
        return;
    }
    int (*add_pending_call)(int (*)(void*), void*) = nullptr;
    python.look_up(run, "PyRun_SimpleStringFlags");
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
