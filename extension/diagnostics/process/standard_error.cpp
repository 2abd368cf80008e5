// standard_error: tells the stderr of the tool's start from a file that captures the output.
#include "standard_error.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace handoff::detail {

namespace {

constinit struct stat at_start{};
constinit std::atomic<bool> is_known = false;

bool is_at_start(struct stat const& file) noexcept {
    return file.st_dev == at_start.st_dev && file.st_ino == at_start.st_ino;
}

/// A pipe's two ends are the same file: only one of them can be written to.
bool leads_to_the_start(int descriptor) noexcept {
    struct stat file{};
    return fstat(descriptor, &file) == 0 && is_at_start(file) &&
           // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): fcntl's own
           (static_cast<unsigned>(fcntl(descriptor, F_GETFL)) & O_ACCMODE) != O_RDONLY;
}

}  // namespace

void remember_stderr() noexcept {
    if (!is_known && fstat(STDERR_FILENO, &at_start) == 0) {
        is_known = true;
    }
}

int stderr_descriptor() noexcept {
    constexpr int most = 1024;
    struct stat now{};
    if (!is_known || fstat(STDERR_FILENO, &now) != 0 || !S_ISREG(now.st_mode) || now.st_nlink > 0 ||
        is_at_start(now)) {
        return STDERR_FILENO;
    }
    int kept = 0;
    while (kept < most && !leads_to_the_start(kept)) {
        ++kept;
    }
    return kept < most ? kept : STDERR_FILENO;
}

void write_stderr(std::string_view text) noexcept {
    int const descriptor = stderr_descriptor();
    while (!text.empty()) {
        ssize_t const written = write(descriptor, text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
}

void write_what_was_captured() noexcept {
    struct stat captured{};
    if (stderr_descriptor() == STDERR_FILENO || fstat(STDERR_FILENO, &captured) != 0) {
        return;
    }
    std::array<char, 4096> text{};
    off_t const begin = std::max<off_t>(captured.st_size - static_cast<off_t>(text.size()), 0);
    ssize_t const size = pread(STDERR_FILENO, text.data(), text.size(), begin);
    if (size > 0) {
        write_stderr("\n--- the last of the stderr that was captured:\n");
        std::string_view const last(text.data(), static_cast<std::size_t>(size));
        write_stderr(last);
        write_stderr(last.ends_with('\n') ? "---\n" : "\n---\n");
    }
}

}  // namespace handoff::detail
