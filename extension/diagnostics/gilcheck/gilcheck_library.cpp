// libgilcheck.so: gilcheck for any Python. Preloaded, it starts by itself; otherwise its loader
// starts it.
#include "tool_library.hpp"
#include <handoff/gilcheck.hpp>

#include <string>

/// For ctypes.PyDLL: as handoff::gilcheck::start(settings_from(settings)). GIL: held.
/// Returns: null, or why it does not check; valid until the next call.
extern "C" [[gnu::visibility("default")]] char const* gilcheck_start(char const* settings) {
    return handoff::detail::failure_of(
        [settings] { handoff::gilcheck::start(handoff::gilcheck::settings_from(settings)); });
}

/// For ctypes.PyDLL: the figures of the GIL so far, as handoff::gilcheck::statistics(). GIL: held.
/// Returns: a text that is valid until the next call; empty: none are taken.
extern "C" [[gnu::visibility("default")]] char const* gilcheck_statistics() {
    static std::string text;  // guarded by the GIL
    text = handoff::gilcheck::statistics();
    return text.c_str();
}

/// For ctypes.CDLL: as handoff::gilcheck::flush(). GIL: released.
extern "C" [[gnu::visibility("default")]] void gilcheck_flush() { handoff::gilcheck::flush(); }

/// For ctypes.CDLL: as handoff::gilcheck::finish(). GIL: released.
extern "C" [[gnu::visibility("default")]] void gilcheck_finish() { handoff::gilcheck::finish(); }

namespace {

[[gnu::constructor]] void start_where_preloaded() {
    handoff::detail::start_where_preloaded(
        reinterpret_cast<void*>(&gilcheck_start), "GILCHECK", [](std::string const& settings) {
            handoff::gilcheck::start_with_python(handoff::gilcheck::settings_from(settings));
        });
}

}  // namespace
