// standard_error: a tool's messages, past the program's own buffers.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string_view>
#include <unistd.h>

namespace handoff::detail {

/// Writes all of it, unless writing fails. GIL: any; not touched. May raise SIGPIPE.
inline void write_stderr(std::string_view text) noexcept {
    while (!text.empty()) {
        ssize_t const written = write(STDERR_FILENO, text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
}

}  // namespace handoff::detail
