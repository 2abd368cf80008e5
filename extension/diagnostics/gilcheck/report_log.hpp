// report_log: a file for reports, instead of stderr.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace handoff::detail {

/// The file's absolute path, because the program may change its folder; the file is made if it does
/// not exist. what: the file is, for the message. Throws: std::invalid_argument, with the path and
/// the system's reason: it cannot be appended to.
[[nodiscard]] std::string file_to_append_to(std::string const& path, char const* what);

/// Throws: std::invalid_argument: the file has something in it, and begins with none of these: it
/// is somebody else's, which is not to be changed. what: the file is to become, for the message.
void require_own_file(std::string const& path, char const* what,
                      std::span<std::string_view const> beginnings);

/// Appends the text to a file, in one piece, also when other processes append to it. The file is
/// opened each time: the program may close every descriptor, and reuse the number for its own file.
/// Returns: whether it could. Threads: any. GIL: any; not touched.
[[nodiscard]] bool append(char const* path, std::string_view text) noexcept;

/// From now on reports go to that file; empty: to stderr. is_temporary: for end_temporary_log().
/// Threads: one at a time, except with the others. Throws: as file_to_append_to(); then nothing
/// changes.
void log_to(std::string const& path, bool is_temporary);

/// Returns: whether the report is in the file: not where none is named, or it can no longer be
/// opened. Threads: any. GIL: any; not touched.
[[nodiscard]] bool write_to_log(std::string_view report) noexcept;

/// Writes a temporary log to stderr and removes it, together with its folder if that is empty then.
/// Does nothing in a child of the process that named the log, because the log is that process's.
/// Threads: any. GIL: any; not touched. May be called in a signal's handler.
void end_temporary_log() noexcept;

/// From now on write_to_deadlock_log() appends to that file; empty: to none. Threads and errors: as
/// log_to().
void log_deadlocks_to(std::string const& path);

/// Does nothing if no file is named, or it cannot be opened. Threads: any. GIL: any; not touched.
void write_to_deadlock_log(std::string_view report) noexcept;

/// Whether reports go to a terminal that shows colours.
[[nodiscard]] bool shows_colours() noexcept;

}  // namespace handoff::detail
