// attach_waits: intercepts the semaphores of CPython's parking lot, and reads its thread states.
#include "attach_waits.hpp"

#include "current_function.hpp"
#include "own_memory.hpp"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <semaphore.h>
#include <stdexcept>
#include <string_view>

namespace handoff::detail {

namespace {

using wait_function = int (*)(sem_t*);
using timedwait_function = int (*)(sem_t*, timespec const*);
using clockwait_function = int (*)(sem_t*, clockid_t, timespec const*);

// Set before the first event, and constant from then on.
attach_listener const* listening = nullptr;
void* (*current_state)() = nullptr;
wait_function next_wait = nullptr;
timedwait_function next_timedwait = nullptr;
clockwait_function next_clockwait = nullptr;

handoff_python_layout const* layout = nullptr;
// Source: _Py_THREAD_DETACHED and its like in CPython's internal/pycore_pystate.h.
constexpr int detached = 0;
constexpr int attached = 1;
constexpr int suspended = 2;  // detached, and must not attach

void* (*first_interpreter)() = nullptr;
void* (*next_interpreter)(void*) = nullptr;
void* (*first_thread)(void*) = nullptr;

/// The function that the slot calls. One that was not called yet leads to the loader, through the
/// caller; the program's own function is then the system's.
template <class Function>
void keep_next(Function& next, loaded_object const& caller, loaded_object::slot const& slot) {
    next = reinterpret_cast<Function>(caller.contains(*slot.where) ? dlsym(RTLD_DEFAULT, slot.name)
                                                                   : *slot.where);
}

std::uintptr_t address_of(void const* state) noexcept {
    return reinterpret_cast<std::uintptr_t>(state);
}

std::uintptr_t at(int offset) noexcept { return static_cast<std::uintptr_t>(offset); }

int own_state() noexcept {
    auto const* const own = static_cast<char const*>(current_state());
    int state = detached;
    if (own != nullptr) {
        std::memcpy(&state, own + layout->thread_state, sizeof state);
    }
    return state;
}

template <class Wait>
int told(attach_wait what, bool is_it, Wait const& wait) noexcept {
    if (!is_it) {
        return wait();
    }
    listening->waits(what);
    int const result = wait();
    int const error = errno;
    listening->has_waited(what, result != 0);
    errno = error;
    return result;
}

int wait_and_tell(sem_t* semaphore) {
    return told(attach_wait::to_attach, own_state() == suspended,
                [=] { return next_wait(semaphore); });
}

/// Whether the calling thread stops the world. Any other wait of an attached thread is longer.
bool is_short(clockid_t clock, timespec const* until) noexcept {
    static constexpr long long most = 2'000'000;  // ns; CPython has 1 ms
    timespec now{};
    clock_gettime(clock, &now);
    return (until->tv_sec - now.tv_sec) * 1'000'000'000LL + until->tv_nsec - now.tv_nsec <= most;
}

int timedwait_and_tell(sem_t* semaphore, timespec const* until) {
    return told(attach_wait::until_the_others_detach,
                own_state() == attached && is_short(CLOCK_REALTIME, until),
                [=] { return next_timedwait(semaphore, until); });
}

int clockwait_and_tell(sem_t* semaphore, clockid_t clock, timespec const* until) {
    return told(attach_wait::until_the_others_detach,
                own_state() == attached && is_short(clock, until),
                [=] { return next_clockwait(semaphore, clock, until); });
}

}  // namespace

void listen_to_attach_waits(running_python const& python, attach_listener const& listener) {
    layout = function_reader::layout_of(python.version, true);
    if (layout == nullptr) {
        throw std::runtime_error("it is a free-threaded build of a version that is not known");
    }
    python.look_up(first_interpreter, "PyInterpreterState_Head");
    python.look_up(next_interpreter, "PyInterpreterState_Next");
    python.look_up(first_thread, "PyInterpreterState_ThreadHead");
    current_state = python.current_state;
    listening = &listener;
    loaded_object::writable const now(python.object);
    bool redirected = false;
    if (now) {
        python.object.for_each_slot([&](loaded_object::slot const& each) {
            auto const redirect = [&](auto& next, auto* ours) {
                keep_next(next, python.object, each);
                now.put(each, reinterpret_cast<void*>(ours));
            };
            std::string_view const name = each.name;
            if (name == "sem_wait") {
                redirect(next_wait, &wait_and_tell);
                redirected = true;
            } else if (name == "sem_timedwait") {
                redirect(next_timedwait, &timedwait_and_tell);
            } else if (name == "sem_clockwait") {
                redirect(next_clockwait, &clockwait_and_tell);
            }
        });
    }
    if (!redirected || first_thread == nullptr) {
        throw std::runtime_error("its calls to sem_wait cannot be redirected");
    }
}

std::vector<pid_t> attached_threads() {
    static constexpr std::size_t most = 100'000;  // a list that changes meanwhile may have no end
    std::vector<pid_t> found;
    std::size_t seen = 0;
    for (void* each = first_interpreter(); each != nullptr; each = next_interpreter(each)) {
        // A state may be freed at any moment, so it is read as memory that may be gone.
        for (std::uintptr_t state = address_of(first_thread(each)); state != 0 && seen < most;
             state = pointer_at(state + at(layout->thread_next)), ++seen) {
            if (number_at(state + at(layout->thread_state)) == attached) {
                found.push_back(number_at(state + at(layout->thread_number)));
            }
        }
    }
    return found;
}

}  // namespace handoff::detail
