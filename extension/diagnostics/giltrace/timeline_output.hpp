// timeline_output: a timeline for people and for other programs.
#pragma once

#include "timeline.hpp"

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>

namespace handoff::detail {

enum class timeline_format { chrome_trace, page, picture };

/// By the ending: .json, .html, .svg. Throws: std::invalid_argument, with the path and the endings.
[[nodiscard]] timeline_format format_of(std::string_view path);

/// What cost most, in one line: the function that held the GIL longest while others waited, how
/// long, and which thread waited; or that no thread did. If the function is native, a second line
/// says what to do.
[[nodiscard]] std::string answer_of(timeline const& shown);

/// The answer, a table of threads, and the worst waits; lines of text.
[[nodiscard]] std::string summary_of(timeline const& shown);

/// What stands at the beginning of each file that is written here, so that nothing else is
/// replaced: of a page and a picture, and of a trace in Chrome's format.
inline constexpr std::string_view signature = "<!-- written by giltrace -->";
inline constexpr std::string_view json_signature = R"("otherData": {"contradiction": )";

/// Throws: std::system_error, with the path: it cannot be written. std::invalid_argument: what is
/// there was not written by giltrace, or is a pipe, or something else that is no file. What is
/// there is left as it is, and nothing is left that was not. Returns: the file itself, to which
/// links lead.
std::filesystem::path make_sure_of(std::string const& path);

/// Removes what an earlier run has written, which would be taken for this run's.
/// REQUIRES: make_sure_of(path). Throws: std::system_error, with the path.
void remove_earlier(std::string const& path);

/// Reports a line of text. Null: nothing is reported.
using teller = void (*)(std::string_view line);

/// Writes the file, which is there when it is whole. Tells how far it is, where that takes long.
/// Throws: as make_sure_of(); what was there before is there then.
void write(timeline const& shown, std::string const& path, teller tell);

/// Of each format, with the summary in it; whether all could be written, the caller sees in the
/// file's state.
void write_chrome_trace(timeline const& shown, std::FILE* to, teller tell);
void write_page(timeline const& shown, std::FILE* to);
void write_picture(timeline const& shown, std::FILE* to);

/// As in "1.25 ms": three digits.
[[nodiscard]] std::string in_words(std::uint64_t nanoseconds);

/// 'name' and the id.
[[nodiscard]] std::string in_words(timeline::lane const& thread);

/// Waits for the GIL, holds that did not end, and what else is to be known before the rest is
/// believed: lost events, a contradiction. Lines of text; empty: nothing.
[[nodiscard]] std::string notes_on(timeline const& shown);

}  // namespace handoff::detail
