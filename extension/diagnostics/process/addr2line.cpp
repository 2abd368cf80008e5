// addr2line: starts the tool, unnoticed by the program, and reads its output.
#include "addr2line.hpp"

#include "unnoticed_child.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <memory>
#include <spawn.h>
#include <sstream>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

namespace handoff::detail {

namespace {

/// This process's, without what would load this library into the tool as well.
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

/// What a program writes on stdout; empty if it cannot be started.
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

std::vector<std::vector<source_line>> source_lines(std::span<file_place const> places) {
    std::vector<std::vector<source_line>> of_each(places.size());
    std::map<std::string, std::vector<std::size_t>> of_file;
    for (std::size_t each = 0; each < places.size(); ++each) {
        of_file[places[each].file].push_back(each);
    }
    for (auto const& [file, indices] : of_file) {
        // For each place: its address, then a function's name and its line in turns.
        std::vector<std::string> words{"addr2line", "--addresses", "--functions", "--demangle",
                                       "--inlines", "-e",          file};
        for (std::size_t const each : indices) {
            words.push_back(hexadecimal(places[each].offset));
        }
        std::istringstream text(output_of(std::move(words)));
        auto next = indices.begin();
        std::vector<source_line>* found = nullptr;
        for (std::string name; std::getline(text, name);) {
            if (name.starts_with("0x")) {
                found = next == indices.end() ? nullptr : &of_each[*next++];
                continue;
            }
            std::string line;
            std::getline(text, line);
            line.resize(std::min(line.find(" (discriminator"), line.size()));
            if (found != nullptr && !line.starts_with("??") && !line.ends_with(":?") &&
                !line.ends_with(":0")) {
                found->push_back({.function = name == "??" ? "" : name, .line = line});
            }
        }
    }
    return of_each;
}

bool has_addr2line() {
    char const* const path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "/bin:/usr/bin");  // as confstr(3) has it
    for (std::string folder; std::getline(folders, folder, ':');) {
        if (access((folder + (folder.empty() ? "" : "/") + "addr2line").c_str(), X_OK) == 0) {
            return true;
        }
    }
    return false;
}

}  // namespace handoff::detail
