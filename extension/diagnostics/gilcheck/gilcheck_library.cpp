// libgilcheck.so: the checker for any Python. Preloaded, it starts by itself; else who loads it
// does.
#include <handoff/gilcheck.hpp>

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <exception>
#include <string>
#include <unistd.h>

/// For ctypes.PyDLL: as handoff::gilcheck::start(settings_from(settings)). GIL: held.
/// Returns: null, or why it does not check; valid until the next call.
extern "C" [[gnu::visibility("default")]] char const* gilcheck_start(char const* settings) {
    static std::string failure;
    try {
        handoff::gilcheck::start(handoff::gilcheck::settings_from(settings));
        return nullptr;
    } catch (std::exception const& thrown) {
        failure = thrown.what();
        return failure.c_str();
    }
}

namespace {

bool is_preloaded() {
    Dl_info own{};
    char const* const preloaded = std::getenv("LD_PRELOAD");
    return preloaded != nullptr && dladdr(reinterpret_cast<void*>(&gilcheck_start), &own) != 0 &&
           std::string_view(preloaded).find(std::string_view(own.dli_fname)
                                                .substr(std::string_view(own.dli_fname).rfind('/') +
                                                        1)) != std::string_view::npos;
}

[[gnu::constructor]] void start_where_preloaded() {
    if (!is_preloaded()) {
        return;
    }
    try {
        char const* const settings = std::getenv("GILCHECK");
        handoff::gilcheck::start_with_python(
            handoff::gilcheck::settings_from(settings != nullptr ? settings : ""));
    } catch (std::exception const& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
        _exit(2);
    }
}

}  // namespace
