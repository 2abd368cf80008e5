// libgilwatch.so: gilwatch for any Python. Preloaded, it starts by itself; else who loads it
// does.
#include "tool_library.hpp"
#include <handoff/gilwatch.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <unistd.h>

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
}

namespace {

[[gnu::constructor]] void start_where_preloaded() {
    if (!handoff::detail::is_preloaded(reinterpret_cast<void*>(&gilwatch_start))) {
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
