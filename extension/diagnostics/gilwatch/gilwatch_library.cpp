// libgilwatch.so: gilwatch for any Python. Preloaded, it starts by itself; else who loads it
// does.
#include "tool_library.hpp"
#include "written_stacks.hpp"
#include <handoff/gilwatch.hpp>

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

/// Of stacks as written_stacks.hpp has them. Returns what is valid until the next call.
[[gnu::visibility("default")]] char const* gilwatch_explain(char const* stacks) {
    static std::string text;
    char const* const failure =
        failure_of([stacks] { text = handoff::detail::diagnosis_of_written(stacks); });
    return failure != nullptr ? failure : text.c_str();
}
}

namespace {

[[gnu::constructor]] void start_where_preloaded() {
    handoff::detail::start_where_preloaded(
        reinterpret_cast<void*>(&gilwatch_start), "GILWATCH", [](std::string const& settings) {
            handoff::gilwatch::start_with_python(handoff::gilwatch::settings_from(settings));
        });
}

}  // namespace
