// libgilwatch.so: gilwatch for any Python. If preloaded, it starts by itself, also for a Python
// that the program loads later; otherwise its loader starts it.
#include "tool_library.hpp"
#include "written_stacks.hpp"
#include <handoff/gilwatch.hpp>

#include <atomic>
#include <dlfcn.h>
#include <pthread.h>
#include <string>

using handoff::detail::failure_of;

// For ctypes, as the functions of handoff::gilwatch.
extern "C" {

[[gnu::visibility("default")]] char const* gilwatch_start(char const* settings) {
    return failure_of(
        [settings] { handoff::gilwatch::start(handoff::gilwatch::settings_from(settings)); });
}

[[gnu::visibility("default")]] void gilwatch_stop() { handoff::gilwatch::stop(); }

[[gnu::visibility("default")]] char const* gilwatch_report() {
    return failure_of([] { handoff::gilwatch::report(); });
}

/// For stacks in the form of written_stacks.hpp. The result is valid until the next call.
[[gnu::visibility("default")]] char const* gilwatch_explain(char const* stacks) {
    static std::string text;
    char const* const failure =
        failure_of([stacks] { text = handoff::detail::diagnosis_of_written(stacks); });
    return failure != nullptr ? failure : text.c_str();
}
}

namespace {

constinit std::atomic<bool> is_started = false;

using setclock = int (*)(pthread_condattr_t*, clockid_t) noexcept;

/// Looked up once, because dlsym() waits for a thread that loads a library.
setclock setclock_of_the_system() {
    static constinit std::atomic<setclock> known = nullptr;
    setclock found = known;
    if (found == nullptr) {
        found = reinterpret_cast<setclock>(dlsym(RTLD_NEXT, "pthread_condattr_setclock"));
        known = found;
    }
    return found;
}

/// For the first Python in the process; a program without one is left alone.
[[gnu::constructor]] void start_where_preloaded() {
    setclock_of_the_system();
    if (!handoff::detail::object_with_python() || is_started.exchange(true)) {
        return;
    }
    handoff::detail::start_where_preloaded(
        reinterpret_cast<void*>(&gilwatch_start), "GILWATCH", [](std::string const& settings) {
            handoff::gilwatch::start_with_python(handoff::gilwatch::settings_from(settings));
        });
}

bool is_of_python(void const* code) {
    auto const python = handoff::detail::object_with_python();
    return python && python->contains(code);
}

}  // namespace

/// The system's function. In a preloaded library it also shows that the program has loaded a Python
/// by dlopen(): CPython calls it once, before it makes its GIL, and no code calls it often.
///
/// Source: init_condattr() in CPython's Python/thread_pthread.h; dlopen(3): what is preloaded comes
///         first in the scope in which a library's symbols are found, but with RTLD_DEEPBIND.
extern "C" [[gnu::visibility("default")]] int pthread_condattr_setclock(
    pthread_condattr_t* attributes, clockid_t clock) noexcept {
    if (!is_started && is_of_python(__builtin_return_address(0))) {
        start_where_preloaded();
    }
    return setclock_of_the_system()(attributes, clock);
}
