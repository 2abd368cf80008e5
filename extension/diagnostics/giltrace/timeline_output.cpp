// timeline_output: the format, and the file.
#include "timeline_output.hpp"

#include "whole_file.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace handoff::detail {

timeline_format format_of(std::string_view path) {
    if (path.ends_with(".json")) {
        return timeline_format::chrome_trace;
    }
    if (path.ends_with(".html")) {
        return timeline_format::page;
    }
    if (path.ends_with(".svg")) {
        return timeline_format::picture;
    }
    throw std::invalid_argument(
        "giltrace: a GIL timeline is written as .json, .html or .svg, and '" + std::string(path) +
        "' ends with none of them: say which (-o trace.html, "
        "-X giltrace=trace.html)");
}

namespace {

[[noreturn]] void refuse(std::string const& path, int error) {
    bool const is_of_folder =
        error == ENOENT || error == ENOTDIR || error == EACCES || error == EROFS;
    throw std::system_error(
        error, std::generic_category(),
        "giltrace: cannot write '" + path + "'" +
            (is_of_folder ? " (name a file in a folder that is there and may be written)" : ""));
}

/// What a name leads to, if a file cannot be written there. Empty: it can. A device is written as
/// it is: no one wants /dev/null replaced by a file.
std::string_view what_is_no_file(mode_t mode) {
    return S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket" : S_ISBLK(mode) ? "a disk" : "";
}

bool is_ours(std::string const& path) {
    std::array<char, 512> begin{};
    std::ifstream file(path, std::ios::binary);
    file.read(begin.data(), begin.size());
    std::string_view const read(begin.data(), static_cast<std::size_t>(file.gcount()));
    // An empty file may be a temporary file, made to reserve its name.
    return (file.eof() && read.empty()) || read.find(signature) != std::string_view::npos ||
           read.find(json_signature) != std::string_view::npos;
}

/// Removes the file itself, not a link to it. Returns whether it is gone.
bool remove_file(std::string const& path) {
    std::error_code failure;
    auto const file = std::filesystem::canonical(path, failure);
    return !failure && std::filesystem::remove(file, failure);
}

}  // namespace

std::filesystem::path make_sure_of(std::string const& path) {
    struct stat before{};
    bool const is_new = stat(path.c_str(), &before) != 0;
    if (auto const what = what_is_no_file(before.st_mode); !is_new && !what.empty()) {
        throw std::invalid_argument("giltrace: '" + path + "' is " + std::string(what) +
                                    ", and not a file that can be written: choose another name");
    }
    int const file =
        open(path.c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    if (file < 0) {
        refuse(path, errno);
    }
    close(file);
    std::error_code unknown;
    auto const itself = std::filesystem::canonical(path, unknown);
    if (is_new) {
        std::filesystem::remove(itself, unknown);
    } else if (S_ISREG(before.st_mode) && !is_ours(path)) {
        throw std::invalid_argument("giltrace: '" + path +
                                    "' exists, and giltrace has not written it: it is left as it "
                                    "is: remove it, or choose another name");
    }
    return itself.empty() ? std::filesystem::path(path) : itself;
}

void remove_earlier(std::string const& path) {
    std::error_code failure;
    if (!std::filesystem::is_regular_file(path, failure)) {
        return;
    }
    if (!remove_file(path) && truncate(path.c_str(), 0) != 0) {
        refuse(path, errno);
    }
}

void write(timeline const& shown, std::string const& path, teller tell) {
    auto const format = format_of(path);
    whole_file file(make_sure_of(path));
    if (file.failure() == 0) {
        switch (format) {
            case timeline_format::chrome_trace:
                write_chrome_trace(shown, file.stream(), tell);
                break;
            case timeline_format::page:
                write_page(shown, file.stream());
                break;
            case timeline_format::picture:
                write_picture(shown, file.stream());
                break;
        }
        file.finish();
    }
    if (file.failure() != 0) {
        refuse(path, file.failure());
    }
}

}  // namespace handoff::detail
