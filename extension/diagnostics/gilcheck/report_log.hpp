// report_log: a file for reports, instead of stderr.
#pragma once

#include <string>
#include <string_view>

namespace handoff::detail {

/// The file's whole path, as the program may change its folder; it is there now, if it was not.
/// what: the file is, for the message. Throws: std::invalid_argument, with the path and the
/// system's reason: nothing can be appended to it.
[[nodiscard]] std::string file_to_append_to(std::string const& path, char const* what);

/// Adds the text to a file, in one piece, past what other processes add to it. The file is opened
/// anew: the program may close every descriptor, and give its number to a file of its own.
/// Returns: whether it could. Threads: any. GIL: any; not touched.
[[nodiscard]] bool append(char const* path, std::string_view text) noexcept;

/// Reports go to that file from now on; empty: to stderr. Threads: one at a time, beside the
/// others. Throws: as file_to_append_to(); then it is as before.
void log_to(std::string const& path);

/// Returns: whether the report is in the file: not where none is named, or it can no longer be
/// opened. Threads: any. GIL: any; not touched.
[[nodiscard]] bool write_to_log(std::string_view report) noexcept;

/// Whether reports go to a terminal that shows colours.
[[nodiscard]] bool shows_colours() noexcept;

}  // namespace handoff::detail
