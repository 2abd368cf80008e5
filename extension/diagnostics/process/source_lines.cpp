// source_lines: asks addr2line.
#include "source_lines.hpp"

#include "unnoticed_child.hpp"

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

/// A program to be started.
struct command {
    std::vector<char*> arguments;
    std::vector<char*> environment;
};

void run(void* given) {
    auto const& asked = *static_cast<command const*>(given);
    if (int const nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC); nowhere >= 0) {
        dup2(nowhere, STDERR_FILENO);
    }
    pid_t started = 0;
    if (posix_spawnp(&started, asked.arguments[0], nullptr, nullptr, asked.arguments.data(),
                     asked.environment.data()) == 0) {
        waitpid(started, nullptr, 0);
    }
}

/// What a program writes on stdout; empty when it cannot be started.
std::string output_of(std::vector<std::string> words) {
    command asked{.arguments = {}, .environment = environment()};
    asked.arguments.reserve(words.size() + 1);
    for (auto& each : words) {
        asked.arguments.push_back(each.data());
    }
    asked.arguments.push_back(nullptr);
    return output_of_child(&run, &asked);
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
        std::vector<std::string> words{"addr2line", "-e", file};
        for (std::size_t const each : indices) {
            words.push_back(hexadecimal(places[each].offset));
        }
        std::string const text = output_of(std::move(words));
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
