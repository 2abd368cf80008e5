// report_log: opens, appends and closes.
#include "report_log.hpp"

#include "standard_error.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <ios>
#include <stdexcept>
#include <string_view>
#include <unistd.h>

namespace handoff::detail {

namespace {

// Older ones are kept: a thread may be reading them.
std::atomic<char const*> log_path = nullptr;
std::atomic<char const*> deadlock_log_path = nullptr;

/// Its folder's path is made beforehand, because a signal's handler may not allocate.
struct temporary_log {
    char const* path;
    char const* folder;
    pid_t of;
};
std::atomic<temporary_log const*> temporary = nullptr;

int open_to_append(char const* path) noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): open's own
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
}

}  // namespace

std::string file_to_append_to(std::string const& path, char const* what) {
    int const file = open_to_append(path.c_str());
    if (file < 0) {
        throw std::invalid_argument("gilcheck: the " + std::string(what) + " '" + path +
                                    "' cannot be written: " + std::strerror(errno) +
                                    "; name a file in a folder that is there and may be written");
    }
    close(file);
    std::error_code is_none;
    std::string const whole = std::filesystem::absolute(path, is_none);
    return is_none ? path : whole;
}

void require_own_file(std::string const& path, char const* what,
                      std::span<std::string_view const> beginnings) {
    std::string begin(64, '\0');
    std::ifstream file(path, std::ios::binary);
    file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
    begin.resize(static_cast<std::size_t>(file.gcount()));
    if (!begin.empty() && std::ranges::none_of(beginnings, [&begin](std::string_view each) {
            return begin.starts_with(each);
        })) {
        throw std::invalid_argument("gilcheck: '" + path + "' is there, and is not a " + what +
                                    " of gilcheck's: it is left as it is; name another file");
    }
}

bool append(char const* path, std::string_view text) noexcept {
    int const file = open_to_append(path);
    if (file < 0) {
        return false;
    }
    bool failed = false;
    while (!text.empty() && !failed) {  // once, unless the disk is full or a signal arrives
        ssize_t const written = write(file, text.data(), text.size());
        failed = written < 0 && errno != EINTR;
        text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
    close(file);
    return !failed;
}

void log_to(std::string const& path, bool is_temporary) {
    char const* const whole =
        path.empty() ? nullptr : strdup(file_to_append_to(path, "log").c_str());
    log_path.store(whole, std::memory_order_release);
    temporary = whole == nullptr || !is_temporary
                    ? nullptr
                    : new temporary_log{
                          .path = whole,
                          .folder = strdup(std::filesystem::path(whole).parent_path().c_str()),
                          .of = getpid()};
}

void end_temporary_log() noexcept {
    temporary_log const* const ended = temporary.exchange(nullptr);
    if (ended == nullptr || ended->of != getpid()) {
        return;
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): open's own
    int const file = open(ended->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    std::array<char, 4096> piece{};
    std::string_view before = "\n";  // apart from what the program has written so far
    for (ssize_t got = 0; (got = read(file, piece.data(), piece.size())) > 0; before = "") {
        write_stderr(before);
        write_stderr({piece.data(), static_cast<std::size_t>(got)});
    }
    close(file);
    unlink(ended->path);
    rmdir(ended->folder);
}

bool write_to_log(std::string_view report) noexcept {
    char const* const path = log_path.load(std::memory_order_acquire);
    return path != nullptr && append(path, report);
}

void log_deadlocks_to(std::string const& path) {
    char const* const whole =
        path.empty() ? nullptr : strdup(file_to_append_to(path, "log of deadlocks").c_str());
    deadlock_log_path.store(whole, std::memory_order_release);
}

void write_to_deadlock_log(std::string_view report) noexcept {
    if (char const* const path = deadlock_log_path.load(std::memory_order_acquire)) {
        static_cast<void>(append(path, report));
    }
}

bool shows_colours() noexcept {
    char const* const terminal = std::getenv("TERM");
    return log_path.load(std::memory_order_acquire) == nullptr &&
           isatty(stderr_descriptor()) != 0 && std::getenv("NO_COLOR") == nullptr &&
           terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace handoff::detail
