// source_lines: asks addr2line.
#include "source_lines.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fcntl.h>
#include <map>
#include <memory>
#include <spawn.h>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

namespace handoff::detail {

namespace {

/// Ours, without what would load this library into the tool as well.
std::vector<char*> environment() {
    std::vector<char*> kept;
    for (char** each = environ; *each != nullptr; ++each) {
        if (!std::string_view(*each).starts_with("LD_PRELOAD=")) {
            kept.push_back(*each);
        }
    }
    kept.push_back(nullptr);
    return kept;
}

/// What a program writes on stdout; empty when it cannot be started.
std::string output_of(std::vector<std::string> command) {
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (auto& each : command) {
        arguments.push_back(each.data());
    }
    arguments.push_back(nullptr);
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        return {};
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    bool const started = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(),
                                      environment().data()) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t length = 0; started && (length = read(ends[0], part.data(), part.size())) > 0;) {
        text.append(part.data(), static_cast<std::size_t>(length));
    }
    close(ends[0]);
    if (started) {
        waitpid(child, nullptr, 0);
    }
    return text;
}

std::string hexadecimal(std::uintptr_t number) {
    std::array<char, 20> digits{};
    auto const end = std::to_chars(digits.begin(), digits.end(), number, 16).ptr;
    return "0x" + std::string(digits.data(), end);
}

}  // namespace

std::vector<std::string> source_lines(std::span<file_place const> places) {
    std::vector<std::string> lines(places.size());
    std::map<std::string, std::vector<std::size_t>> of_file;
    for (std::size_t each = 0; each < places.size(); ++each) {
        of_file[places[each].file].push_back(each);
    }
    for (auto const& [file, indices] : of_file) {
        std::vector<std::string> command{"addr2line", "-e", file};
        for (std::size_t const each : indices) {
            command.push_back(hexadecimal(places[each].offset));
        }
        std::string const text = output_of(std::move(command));
        std::string_view rest = text;
        for (std::size_t const each : indices) {
            auto const end = std::min(rest.find('\n'), rest.size());
            std::string_view line = rest.substr(0, end);
            rest.remove_prefix(std::min(end + 1, rest.size()));
            line = line.substr(0, line.find(" (discriminator"));
            if (!line.empty() && !line.starts_with("??") && !line.ends_with(":?")) {
                lines[each] = line;
            }
        }
    }
    return lines;
}

}  // namespace handoff::detail
