// standard_error: a tool's messages, past the program's own buffers.
#pragma once

#include <string_view>

namespace handoff::detail {

/// Remembers which file is descriptor 2 now, for stderr_descriptor(). Only the first call does
/// something. Threads: one at a time. GIL: any; not touched.
void remember_stderr() noexcept;

/// Where messages go: to descriptor 2, whatever the program has put there; a daemon wants its
/// stderr in its log.
///
/// Except if that is now a file without a name, as while pytest captures the output. Nobody can
/// read such a file once the program has crashed or hangs. Messages then go to the remembered file,
/// if the program keeps a duplicate of it, as pytest does. The tool keeps none itself: it would
/// hold a pipe open that the program has closed.
///
/// Threads: any. GIL: any; not touched. May be called in a signal's handler.
[[nodiscard]] int stderr_descriptor() noexcept;

/// Writes all of it, unless writing fails. GIL: any; not touched. May raise SIGPIPE.
void write_stderr(std::string_view text) noexcept;

/// Where such a file has taken the place of stderr: writes the last of what is in it, up to 4 KiB.
/// The program dies, and why may be there: what a library has written before it called abort().
/// Otherwise as write_stderr(). May be called in a signal's handler.
void write_what_was_captured() noexcept;

}  // namespace handoff::detail
