// whole_file: a file that appears only when it is complete, and is unchanged until then.
#pragma once

#include <cstdio>
#include <filesystem>

namespace handoff::detail {

/// It is written beside its place, as FILE.PROCESS.part, and takes its place in the end. A device,
/// and a file whose folder may not be changed, is written where it is. Errors are kept: of errno,
/// the first.
class whole_file {
public:
    /// place: no link.
    explicit whole_file(std::filesystem::path place);
    /// What is not finished is removed.
    ~whole_file();
    whole_file(whole_file const&) = delete;
    whole_file& operator=(whole_file const&) = delete;

    /// REQUIRES: there was no failure in the beginning.
    [[nodiscard]] std::FILE* stream() const noexcept { return stream_; }
    /// All is written: from now on it is there, unless there is a failure.
    void finish() noexcept;
    /// 0: none until now.
    [[nodiscard]] int failure() const noexcept { return failure_; }

private:
    void fail(int error) noexcept;
    void close() noexcept;

    std::filesystem::path place_;
    std::filesystem::path part_;  // empty: it is written where it is
    int file_ = -1;
    std::FILE* stream_ = nullptr;
    int failure_ = 0;
};

}  // namespace handoff::detail
