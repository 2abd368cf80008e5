// faults: the program's own operator new and clock functions, which come before the libraries'.
#include "faults.hpp"

#include <handoff/gil/python.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <new>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <system_error>
#include <unistd.h>

namespace {

// ---- memory: any thread may allocate at any time, hence atomics ---------------------------------

std::atomic<bool> armed = false;
std::atomic<memory> armed_memory;
std::atomic<on> armed_threads;
std::atomic<int> to_pass;  // so many allocations succeed before
std::atomic<int> to_fail;  // and so many fail then
std::atomic<bool> failed;
thread_local bool made_the_guard = false;

bool refuses(memory whose) noexcept {
    if (!armed || whose != armed_memory || made_the_guard != (armed_threads == on::this_thread)) {
        return false;
    }
    if (to_pass.fetch_sub(1) > 0 || to_fail.fetch_sub(1) <= 0) {
        return false;
    }
    failed = true;
    return true;
}

PyMemAllocatorEx& original(void* context) { return *static_cast<PyMemAllocatorEx*>(context); }

}  // namespace

failing_allocations::failing_allocations(memory whose, on where, int first, int count) {
    armed_memory = whose;
    armed_threads = where;
    to_pass = first - 1;
    to_fail = count;
    failed = false;
    made_the_guard = true;
    armed = true;
}

failing_allocations::~failing_allocations() {
    armed = false;
    made_the_guard = false;
}

bool failing_allocations::happened() const noexcept { return failed; }

void failing_allocations::watch_python() {
    static std::array<PyMemAllocatorEx, 3> originals;
    static constexpr std::array domains{PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    for (std::size_t i = 0; i < domains.size(); ++i) {
        PyMem_GetAllocator(domains.at(i), &originals.at(i));
        PyMemAllocatorEx watched{
            .ctx = &originals.at(i),
            .malloc = [](void* context, std::size_t size) -> void* {
                PyMemAllocatorEx const& next = original(context);
                return refuses(memory::of_python) ? nullptr : next.malloc(next.ctx, size);
            },
            .calloc = [](void* context, std::size_t count, std::size_t size) -> void* {
                PyMemAllocatorEx const& next = original(context);
                return refuses(memory::of_python) ? nullptr : next.calloc(next.ctx, count, size);
            },
            .realloc = [](void* context, void* old, std::size_t size) -> void* {
                PyMemAllocatorEx const& next = original(context);
                return refuses(memory::of_python) ? nullptr : next.realloc(next.ctx, old, size);
            },
            .free =
                [](void* context, void* old) {
                    PyMemAllocatorEx const& next = original(context);
                    next.free(next.ctx, old);
                },
        };
        PyMem_SetAllocator(domains.at(i), &watched);
    }
}

// The libraries' calls come here, too. The other forms of new and delete call these.
// NOLINTBEGIN(misc-new-delete-overloads, cppcoreguidelines-no-malloc)
void* operator new(std::size_t size) {
    if (!refuses(memory::of_cpp)) {
        if (void* const made = std::malloc(size != 0 ? size : 1)) {
            return made;
        }
    }
    throw std::bad_alloc();
}

void operator delete(void* old) noexcept { std::free(old); }
void operator delete(void* old, std::size_t /*size*/) noexcept { std::free(old); }
// NOLINTEND(misc-new-delete-overloads, cppcoreguidelines-no-malloc)

// ---- threads ------------------------------------------------------------------------------------

void refuse_threads(bool refused) {
    static std::size_t const usual = [] {
        pthread_attr_t attributes;
        std::size_t size = 0;
        pthread_getattr_default_np(&attributes);
        pthread_attr_getstacksize(&attributes, &size);
        pthread_attr_destroy(&attributes);
        return size;
    }();
    static constexpr std::size_t more_than_there_is = std::size_t{1} << 50U;

    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, refused ? more_than_there_is : usual);
    int const error = pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        throw std::system_error(error, std::generic_category(), "pthread_setattr_default_np");
    }
}

// ---- the clock ----------------------------------------------------------------------------------

namespace {

std::atomic<bool> system_clock_jumps = false;

/// Seconds to add: an hour on at one look, an hour back at the next.
std::time_t jump() noexcept {
    static std::atomic<unsigned> looks = 0;
    if (!system_clock_jumps) {
        return 0;
    }
    return looks.fetch_add(1) % 2 == 0 ? 3600 : -3600;
}

}  // namespace

void let_system_clock_jump(bool jumps) { system_clock_jumps = jumps; }

// Exported, so that the libraries' calls come here.
extern "C" {

[[gnu::visibility("default")]] int clock_gettime(clockid_t clock, timespec* now) noexcept {
    long const error = syscall(SYS_clock_gettime, clock, now);
    if (error == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        now->tv_sec += jump();
    }
    return static_cast<int>(error);
}

[[gnu::visibility("default")]] int gettimeofday(timeval* now, void* zone) noexcept {
    long const error = syscall(SYS_gettimeofday, now, zone);
    if (error == 0) {
        now->tv_sec += jump();
    }
    return static_cast<int>(error);
}

[[gnu::visibility("default")]] std::time_t time(std::time_t* result) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (result != nullptr) {
        *result = now.tv_sec;
    }
    return now.tv_sec;
}

}  // extern "C"
