// Which leaks LeakSanitizer reports of a process that embeds Python: all but those named here.
#include <Python.h>

#include <atomic>
#include <dlfcn.h>
#include <filesystem>
#include <iterator>
#include <pthread.h>

#define SANITIZER_CALLS extern "C" __attribute__((visibility("default")))

namespace {

bool forked = false;
std::atomic<bool> ended_a_thread = false;

[[maybe_unused]] int const noted = pthread_atfork(nullptr, nullptr, [] { forked = true; });

/// In development mode (-X dev) Python takes its own allocator again.
bool allocates_in_blocks() {
    PyMemAllocatorEx raw;
    PyMemAllocatorEx objects;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw);
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &objects);
    return objects.free != raw.free;
}

bool has_other_threads() {
    std::filesystem::directory_iterator const threads("/proc/self/task");
    return std::distance(begin(threads), end(threads)) > 1;
}

}  // namespace

/// CPython up to 3.13.7 ends daemon threads like this when it ends.
extern "C" void pthread_exit(void* result) {
    ended_a_thread = true;
    reinterpret_cast<decltype(&pthread_exit)>(dlsym(RTLD_NEXT, "pthread_exit"))(result);
    __builtin_unreachable();
}

/// Asked at the end: true where some of the references can no longer be seen. They were on the
/// stacks of the threads that a fork() left in the parent, or that CPython ended wherever they
/// were, or is about to end as the answer is given; or they are within the blocks of Python's
/// allocator.
SANITIZER_CALLS int __lsan_is_turned_off() {
    // In this order: a thread that is gone when they are counted has been noted before.
    return has_other_threads() || ended_a_thread || forked || allocates_in_blocks() ? 1 : 0;
}

/// `leak:` and a function among those that called for the memory.
SANITIZER_CALLS char const* __lsan_default_suppressions() {
    return
        // Boost.Python keeps the name of each C++ type that an error has named, for ever.
        "leak:boost::python::detail::gcc_demangle\n"
        // Ours leave alone what belongs to a Python that is gone, as their headers say.
        "leak:handoff::gil_owned\n"
        "leak:handoff::gil_registration::gil_registration\n";
}
