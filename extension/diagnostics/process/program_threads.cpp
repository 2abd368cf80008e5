// has_several_threads(): counts the entries of a folder of the system's, by their names.
#include "program_threads.hpp"

#include "tool_thread.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

namespace handoff::detail {

namespace {

bool is_tool_thread(int tasks, char const* thread) noexcept {
    std::array<char, 64> path{};  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    std::snprintf(path.data(), path.size(), "%.30s/comm", thread);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    int const file = openat(tasks, path.data(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    std::array<char, 20> name{};  // of up to 15 bytes, and a line break
    ssize_t const size = read(file, name.data(), name.size());
    close(file);
    return size > 0 && is_name_of_tool_thread({name.data(), static_cast<std::size_t>(size) - 1});
}

/// As far as two.
int count_threads(int tasks) noexcept {
    alignas(dirent64) std::array<char, 2048> entries;  // NOLINT: only what is filled is read
    int found = 0;
    for (ssize_t size = 0; (size = getdents64(tasks, entries.data(), entries.size())) > 0;) {
        for (ssize_t at = 0; at < size;) {
            auto const& each = *reinterpret_cast<dirent64 const*>(entries.data() + at);
            at += each.d_reclen;
            found += each.d_name[0] != '.' && !is_tool_thread(tasks, each.d_name) ? 1 : 0;
            if (found > 1) {
                return found;
            }
        }
    }
    return found;
}

}  // namespace

bool has_several_threads() noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    int const tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0) {
        return true;
    }
    int const found = count_threads(tasks);
    close(tasks);
    return found != 1;
}

}  // namespace handoff::detail
