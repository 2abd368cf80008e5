// tool_library: what the libraries share that Python's ctypes or LD_PRELOAD loads.
#pragma once

#include "running_python.hpp"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>

namespace handoff::detail {

/// For a C function. Returns: null, or what was thrown; valid until the thread's next call.
template <class Work>
char const* failure_of(Work const& work) {
    thread_local std::string failure;
    try {
        work();
        return nullptr;
    } catch (std::exception const& thrown) {
        failure = thrown.what();
        return failure.c_str();
    }
}

/// Whether LD_PRELOAD names the library that contains this function.
inline bool is_preloaded(void const* function) {
    Dl_info own{};
    char const* const preloaded = std::getenv("LD_PRELOAD");
    if (preloaded == nullptr || dladdr(function, &own) == 0) {
        return false;
    }
    std::string_view const name = own.dli_fname;
    return std::string_view(preloaded).find(name.substr(name.rfind('/') + 1)) !=
           std::string_view::npos;
}

/// If preloaded: settings that are not understood end the program, with a message and exit code 2,
/// unless there is no Python in it. A Python that cannot be watched, perhaps a child's, is
/// reported, and goes on. function: of the library. start: gets the content of the variable.
template <class Start>
void start_where_preloaded(void const* function, char const* variable, Start const& start) {
    if (!is_preloaded(function)) {
        return;
    }
    try {
        char const* const settings = std::getenv(variable);
        start(std::string(settings != nullptr ? settings : ""));
    } catch (std::invalid_argument const& wrong) {
        if (!object_with_python()) {
            return;
        }
        std::fprintf(stderr, "%s\n", wrong.what());
        _exit(2);
    } catch (std::exception const& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
    }
}

}  // namespace handoff::detail
