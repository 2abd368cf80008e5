// libgilwatch.so: the watchdog for any Python. Preloaded, it starts by itself; else who loads it
// does.
#include <handoff/gilwatch.hpp>

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>

namespace {

/// Returns: null, or what was thrown; valid until the next call.
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

}  // namespace

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
}

namespace {

bool is_preloaded() {
    Dl_info own{};
    char const* const preloaded = std::getenv("LD_PRELOAD");
    if (preloaded == nullptr || dladdr(reinterpret_cast<void*>(&gilwatch_start), &own) == 0) {
        return false;
    }
    std::string_view const name = own.dli_fname;
    return std::string_view(preloaded).find(name.substr(name.rfind('/') + 1)) !=
           std::string_view::npos;
}

[[gnu::constructor]] void start_where_preloaded() {
    if (!is_preloaded()) {
        return;
    }
    try {
        char const* const settings = std::getenv("GILWATCH");
        handoff::gilwatch::start_with_python(
            handoff::gilwatch::settings_from(settings != nullptr ? settings : ""));
    } catch (std::invalid_argument const& wrong) {
        std::fprintf(stderr, "%s\n", wrong.what());
        _exit(2);
    } catch (std::exception const& failure) {  // a child, perhaps, that is another Python
        std::fprintf(stderr, "gilwatch does not watch this Python: %s\n", failure.what());
    }
}

}  // namespace
