// whole_file: a C stream that keeps the reason why it could not be written, which C's own forgets.
#include "whole_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace handoff::detail {

namespace {

/// Creates it. What a process with the same number has left is removed first.
int create(std::filesystem::path const& part) {
    unlink(part.c_str());
    return open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

bool folder_is_closed(int error) { return error == EACCES || error == EPERM || error == EROFS; }

}  // namespace

whole_file::whole_file(std::filesystem::path place) : place_(std::move(place)) {
    std::error_code unknown;
    bool const is_there = std::filesystem::exists(place_, unknown);
    bool in_place = is_there && !std::filesystem::is_regular_file(place_, unknown);
    if (!in_place) {
        part_ = place_;
        part_ += std::string(".").append(std::to_string(getpid())).append(".part");
        file_ = create(part_);
        in_place = file_ < 0 && is_there && folder_is_closed(errno);
    }
    if (in_place) {
        part_.clear();
        file_ = open(place_.c_str(), O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC);
    }
    if (file_ < 0) {
        fail(errno);
        return;
    }
    auto const write_some = [](void* own, char const* bytes, std::size_t count) -> ssize_t {
        auto& its = *static_cast<whole_file*>(own);
        std::size_t done = 0;
        while (its.failure_ == 0 && done < count) {
            ssize_t const written = ::write(its.file_, bytes + done, count - done);
            if (written > 0) {
                done += static_cast<std::size_t>(written);
            } else if (errno != EINTR) {
                its.fail(errno);
            }
        }
        return its.failure_ == 0 ? static_cast<ssize_t>(count) : 0;
    };
    stream_ = fopencookie(
        this, "w", {.read = nullptr, .write = write_some, .seek = nullptr, .close = nullptr});
    if (stream_ == nullptr) {
        fail(errno);
        return;
    }
    std::setvbuf(stream_, nullptr, _IOFBF, 1U << 16U);
}

whole_file::~whole_file() {
    bool const is_unfinished = file_ >= 0;
    close();
    if (is_unfinished && !part_.empty()) {
        unlink(part_.c_str());
    }
}

void whole_file::fail(int error) noexcept {
    if (failure_ == 0) {
        failure_ = error == 0 ? EIO : error;
    }
}

void whole_file::close() noexcept {
    if (stream_ != nullptr && std::fclose(std::exchange(stream_, nullptr)) != 0) {
        fail(errno);
    }
    if (file_ >= 0 && ::close(std::exchange(file_, -1)) != 0) {
        fail(errno);  // for example a quota, on some file systems
    }
}

void whole_file::finish() noexcept {
    close();
    if (part_.empty()) {
        return;
    }
    if (failure_ == 0 && std::rename(part_.c_str(), place_.c_str()) == 0) {
        return;
    }
    // A file of another user in a shared folder, or one that is mounted there, cannot be replaced.
    std::error_code failed;
    if (failure_ == 0 && std::filesystem::is_regular_file(place_, failed)) {
        std::filesystem::copy_file(part_, place_, std::filesystem::copy_options::overwrite_existing,
                                   failed);
        if (failed) {
            fail(failed.value());
        }
    } else {
        fail(errno);
    }
    unlink(part_.c_str());
}

}  // namespace handoff::detail
