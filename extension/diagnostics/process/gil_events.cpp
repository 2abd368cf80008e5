// gil_events: intercepts CPython's calls for the condition variables of its GIL.
#include "gil_events.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

constinit thread_local bool handoff_gil_held = false;
constinit thread_local bool handoff_calls_go_on = false;

namespace handoff::detail {

// The interceptors of another copy of this code: the host's, besides a Python package's.
// Visible, so that all copies in a process see it.
// NOLINTBEGIN(misc-use-internal-linkage): one for all modules of the process
[[gnu::visibility("default")]] inline constinit std::atomic<void*> listening_signal = nullptr;
[[gnu::visibility("default")]] inline constinit std::atomic<void*> listening_timedwait = nullptr;
// NOLINTEND(misc-use-internal-linkage)

namespace {

using signal_function = int (*)(pthread_cond_t*);
using timedwait_function = int (*)(pthread_cond_t*, pthread_mutex_t*, timespec const*);

// Set before the first event, and constant from then on.
signal_function next_signal = nullptr;
timedwait_function next_timedwait = nullptr;
std::uintptr_t runtime_begin = 0;  // CPython's global state, with the main interpreter's GIL
std::size_t runtime_size = 0;

std::array<std::atomic<gil_listener const*>, most_gil_listeners> listeners{};
std::atomic<std::size_t> used_listeners = 0;  // the others were never used

void tell(void (*gil_listener::*event)() noexcept) noexcept {
    std::size_t const used = used_listeners.load(std::memory_order_acquire);
    for (std::size_t each = 0; each < used; ++each) {
        gil_listener const* const listener = listeners[each].load(std::memory_order_acquire);
        if (listener != nullptr && listener->*event != nullptr) {
            (listener->*event)();
        }
    }
}

// Learnt from the first event of each kind.
std::atomic<pthread_cond_t const*> taken = nullptr;
std::atomic<pthread_cond_t const*> dropped = nullptr;

std::atomic<pid_t> holder_id = 0;
std::atomic<pthread_t> holder_thread = 0;
// Guarded by CPython's lock of the GIL, like everything at an event: how often the GIL was taken by
// another thread than before, as CPython also counts.
pid_t last_holder = 0;
unsigned long long switches = 0;

[[gnu::tls_model("initial-exec")]] constinit thread_local bool waiting = false;
[[gnu::tls_model("initial-exec")]] constinit thread_local pid_t own_id = 0;  // 0: not asked for yet

bool is_of_the_runtime(pthread_cond_t const* condition) noexcept {
    return reinterpret_cast<std::uintptr_t>(condition) - runtime_begin < runtime_size;
}

/// Whether it is that condition; if none is known and it fits, it is that one from now on.
bool is(pthread_cond_t const* condition, std::atomic<pthread_cond_t const*>& part,
        bool fits) noexcept {
    pthread_cond_t const* known = part.load(std::memory_order_relaxed);
    return known == condition ||
           (known == nullptr && fits && part.compare_exchange_strong(known, condition));
}

void note_holder() noexcept {
    holder_thread.store(pthread_self(), std::memory_order_relaxed);
    holder_id.store(own_thread_id(), std::memory_order_relaxed);
    if (std::exchange(last_holder, own_id) != own_id) {
        ++switches;
    }
}

/// The function that the slot calls. A slot that was not called yet leads to the loader, through
/// the caller, and the loader would then overwrite the slot. If the caller is the host, it also
/// contains a copy of this code.
template <class Function>
Function function_of(loaded_object const& caller, loaded_object::slot const& slot,
                     void const* copys) noexcept {
#if defined(__x86_64__)
    static constexpr auto version = "GLIBC_2.3.2";  // those of 2.2.5 are other functions
#else
    static constexpr auto version = "GLIBC_2.17";
#endif
    void* const function = caller.contains(*slot.where) && *slot.where != copys
                               ? dlvsym(RTLD_DEFAULT, slot.name, version)
                               : *slot.where;
    return reinterpret_cast<Function>(function);
}

}  // namespace

void gil_is_gone() noexcept {
    if (std::exchange(handoff_gil_held, false)) {
        handoff_calls_go_on = false;
        holder_id.store(0, std::memory_order_relaxed);
        tell(&gil_listener::drops);
    }
}

namespace {

int signal_and_listen(pthread_cond_t* condition) {
    if (is_of_the_runtime(condition)) {
        if (is(condition, taken, !handoff_gil_held)) {
            gil_is_gone();  // it belongs to a Python that has ended, if this is another
            handoff_gil_held = true;
            handoff_calls_go_on = true;
            waiting = false;
            note_holder();
            tell(&gil_listener::takes);
        } else if (is(condition, dropped, handoff_gil_held)) {
            gil_is_gone();
        }
    }
    return next_signal(condition);
}

int wait_and_listen(pthread_cond_t* condition, pthread_mutex_t* mutex, timespec const* until) {
    if (!is_of_the_runtime(condition) || !is(condition, dropped, true)) {
        return next_timedwait(condition, mutex, until);
    }
    if (!std::exchange(waiting, true)) {
        tell(&gil_listener::waits);
    }
    auto const seen = switches;
    int const result = next_timedwait(condition, mutex, until);
    if (result == ETIMEDOUT && switches == seen && holder_id.load(std::memory_order_relaxed) != 0) {
        tell(&gil_listener::asks);
    }
    return result;
}

bool stand_between(loaded_object const& interpreter, bool held) {
    auto const runtime = interpreter.find("_PyRuntime");
    loaded_object::slot signal{};
    loaded_object::slot timedwait{};
    interpreter.for_each_slot([&](loaded_object::slot const& each) {
        std::string_view const name = each.name;
        if (name == "pthread_cond_signal") {
            signal = each;
        } else if (name == "pthread_cond_timedwait") {
            timedwait = each;
        }
    });
    loaded_object::writable const now(interpreter);
    if (runtime.address == nullptr || signal.where == nullptr || timedwait.where == nullptr ||
        !now) {
        return false;
    }
    runtime_begin = reinterpret_cast<std::uintptr_t>(runtime.address);
    runtime_size = runtime.size;
    handoff_gil_held = held;
    handoff_calls_go_on = held;
    if (held) {
        note_holder();
    }
    pthread_atfork(nullptr, nullptr, [] { own_id = 0; });
    next_signal = function_of<signal_function>(interpreter, signal, listening_signal);
    next_timedwait = function_of<timedwait_function>(interpreter, timedwait, listening_timedwait);
    listening_timedwait = reinterpret_cast<void*>(&wait_and_listen);
    listening_signal = reinterpret_cast<void*>(&signal_and_listen);
    now.put(timedwait, listening_timedwait);
    now.put(signal, listening_signal);
    return true;
}

}  // namespace

bool listen_to_gil(loaded_object const& interpreter, bool held, gil_listener const& listener) {
    if (next_signal == nullptr && !stand_between(interpreter, held)) {
        return false;
    }
    for (std::size_t each = 0; each < listeners.size(); ++each) {
        gil_listener const* none = nullptr;
        if (listeners[each].compare_exchange_strong(none, &listener)) {
            used_listeners = std::max(used_listeners.load(), each + 1);
            return true;
        }
    }
    return false;
}

void dismiss(gil_listener const& listener) noexcept {
    for (auto& each : listeners) {
        gil_listener const* known = &listener;
        each.compare_exchange_strong(known, nullptr);
    }
}

pid_t own_thread_id() noexcept {
    if (own_id == 0) {
        own_id = static_cast<pid_t>(syscall(SYS_gettid));
    }
    return own_id;
}

bool has_ended(pid_t thread) noexcept {
    return syscall(SYS_tgkill, getpid(), thread, 0) != 0 && errno == ESRCH;
}

gil_holder holder_of_gil() noexcept {
    pid_t const id = holder_id.load(std::memory_order_relaxed);
    return {.id = id,
            .thread = id == 0 ? pthread_t{} : holder_thread.load(std::memory_order_relaxed)};
}

}  // namespace handoff::detail
