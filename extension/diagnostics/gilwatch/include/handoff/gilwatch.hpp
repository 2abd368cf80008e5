// gilwatch: reports threads that wait too long for the GIL, its holder, and their lines of code.
#pragma once

#include <chrono>
#include <string_view>

namespace handoff::gilwatch {

using seconds = std::chrono::duration<double>;

struct settings {
    seconds after{5};  // a wait for the GIL, or a hold that sleeps, longer than this is reported
    int signal = 0;  // the signal that requests a report at once; 0: none
};

/// "5", or "5,signal=12". Throws: std::invalid_argument, which names the text and what is accepted.
[[nodiscard]] settings settings_from(std::string_view text);

/// From now on a thread watches, which never asks for the GIL. It reports when a thread has
/// waited longer than settings.after for the GIL, or has held it so long and sleeps; it reports
/// again whenever that time has doubled. If it already watches, the new settings apply from now on.
/// It also watches in the child of a fork(). If stderr is closed, nobody would see a report, and it
/// does not watch.
///
/// GIL:    held. Throws: std::runtime_error: this Python's GIL cannot be watched, and why;
///         std::system_error: no thread can be started.
void start(settings const& wanted);

/// The same from the first take of the GIL on, for the Python that this process is linked with and
/// has not initialised yet; does nothing if there is none. Throws: as start().
void start_with_python(settings const& wanted);

/// Stops watching until it is started again; its thread ends, after a report that is being written.
/// Idempotent. GIL: any; unchanged.
void stop() noexcept;

/// Writes a report now, even if no thread waits. GIL: any; unchanged. Throws: std::runtime_error:
/// it is not watching.
void report();

}  // namespace handoff::gilwatch
