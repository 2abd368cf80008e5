// logger: a name and a sink, for C++ code that logs.
#pragma once

#include <handoff/logging/log_sink.hpp>

#include <source_location>
#include <string_view>

namespace handoff {

/// Logs as Python's logger of that name does, from any thread and without the GIL.
///
///     handoff::logger const log(sink, "device.reader");
///     log.info("connected");
///     if (log.is_enabled(handoff::log_level::debug)) {
///         log.debug(describe(frame));
///     }
///
/// The record has the line of the call. Texts are not formatted: use std::format or another
/// library.
///
/// GIL:     any; unchanged. Threads: any.
/// Returns: what log_sink::write() returns.
class logger {
public:
    using where = std::source_location;

    /// The empty name is the root logger's. Throws: as log_sink::name().
    logger(log_sink to, std::string_view name) : sink_(std::move(to)), name_(sink_.name(name)) {}

    [[nodiscard]] bool is_enabled(log_level level) const noexcept {
        return sink_.is_enabled(level);
    }

    // NOLINTBEGIN(modernize-use-nodiscard)
    pushed log(log_level level, std::string_view text,
               where const& at = where::current()) const noexcept {
        return sink_.write({.logger = name_,
                            .level = level,
                            .text = text,
                            .file = at.file_name(),
                            .line = at.line(),
                            .function = at.function_name()});
    }
    pushed debug(std::string_view text, where const& at = where::current()) const noexcept {
        return log(log_level::debug, text, at);
    }
    pushed info(std::string_view text, where const& at = where::current()) const noexcept {
        return log(log_level::info, text, at);
    }
    pushed warning(std::string_view text, where const& at = where::current()) const noexcept {
        return log(log_level::warning, text, at);
    }
    pushed error(std::string_view text, where const& at = where::current()) const noexcept {
        return log(log_level::error, text, at);
    }
    pushed critical(std::string_view text, where const& at = where::current()) const noexcept {
        return log(log_level::critical, text, at);
    }
    // NOLINTEND(modernize-use-nodiscard)

private:
    log_sink sink_;
    log_name name_;
};

}  // namespace handoff
