// tool_library: what the libraries have in common that Python's ctypes or LD_PRELOAD loads.
#pragma once

#include <cstdlib>
#include <dlfcn.h>
#include <exception>
#include <string>
#include <string_view>

namespace handoff::detail {

/// For a function of C's. Returns: null, or what was thrown; valid until the next call.
template <class Work>
char const* failure_of(Work const& work) {
    static std::string failure;
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

}  // namespace handoff::detail
