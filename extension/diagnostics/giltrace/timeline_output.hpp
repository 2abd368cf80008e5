// timeline_output: a timeline for people and for other programs.
#pragma once

#include "timeline.hpp"

#include <cstdio>
#include <string>
#include <string_view>

namespace handoff::detail {

enum class timeline_format { chrome_trace, page, picture };

/// By the ending: .json, .html, .svg. Throws: std::invalid_argument, with the path and the endings.
[[nodiscard]] timeline_format format_of(std::string_view path);

/// A table of threads, and the worst waits; lines of text.
[[nodiscard]] std::string summary_of(timeline const& shown);

/// Writes the file. Tells on stderr how far it is, where that takes long.
/// Throws: std::system_error, with the path.
void write(timeline const& shown, std::string const& path);

/// Of each format; whether all could be written, the caller sees in the file's state.
void write_chrome_trace(timeline const& shown, std::FILE* to);
void write_page(timeline const& shown, std::FILE* to);
void write_picture(timeline const& shown, std::FILE* to);

/// As in "1.25 ms": three digits.
[[nodiscard]] std::string in_words(std::uint64_t nanoseconds);

/// 'name' and the id.
[[nodiscard]] std::string in_words(timeline::lane const& thread);

/// What of a lane's intervals are drawn: no more than so many, the longest of them.
inline constexpr std::size_t most_drawn = 200'000;

/// The length, in nanoseconds, that an interval must have to be one of the `most_drawn`.
[[nodiscard]] std::uint64_t least_drawn(timeline const& shown);

}  // namespace handoff::detail
