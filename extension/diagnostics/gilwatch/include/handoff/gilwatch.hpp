// gilwatch: reports on stderr who has waited too long for the GIL, who holds it, and in which line.
#pragma once

#include <chrono>
#include <string_view>

namespace handoff::gilwatch {

using seconds = std::chrono::duration<double>;

struct settings {
    seconds after{5};  // a wait for the GIL, or a hold that sleeps, longer than this is reported
    int signal = 0;  // one that asks for a report at once; 0: none does
};

/// "5", or "5,signal=12". Throws: std::invalid_argument, which names the text and what it can be.
[[nodiscard]] settings settings_from(std::string_view text);

/// Watches from now on, in a thread that never asks for the GIL. A report follows when a thread has
/// waited longer than settings.after for the GIL, or has held it so long and sleeps; another
/// whenever that time has doubled. Where it watches already, the settings are those from now on.
/// In the child of a fork() it watches as well. Where stderr is closed, nobody would see it, and it
/// does not.
///
/// GIL:    held. Throws: std::runtime_error: this Python's GIL cannot be watched, and why;
///         std::system_error: there can be no thread.
void start(settings const& wanted);

/// The same from the first take of the GIL on, of the Python that this process is linked with and
/// has not initialised yet; does nothing where there is none. Throws: as start().
void start_with_python(settings const& wanted);

/// No more, until it is started again; its thread ends, after the report that it may just write.
/// Idempotent. GIL: any; unchanged.
void stop() noexcept;

/// Writes a report now, whoever waits. GIL: any; unchanged. Throws: std::runtime_error: it does not
/// watch.
void report();

}  // namespace handoff::gilwatch
