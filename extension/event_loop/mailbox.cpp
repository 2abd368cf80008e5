// mailbox: a list behind a mutex, an eventfd and a condition variable.
#include "mailbox.hpp"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace handoff {

namespace {

int new_eventfd() {
    int const made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made < 0) {
        throw std::system_error(errno, std::generic_category(), "cannot wait in an event loop");
    }
    return made;
}

/// The file that a descriptor refers to; empty if it is not open.
std::pair<dev_t, ino_t> file_of(int descriptor) noexcept {
    struct stat found{};
    return fstat(descriptor, &found) == 0 ? std::pair(found.st_dev, found.st_ino)
                                          : std::pair(dev_t{}, ino_t{});
}

}  // namespace

mailbox::mailbox() : descriptor_(new_eventfd()), file_(file_of(descriptor_)) {}

mailbox::~mailbox() {
    if (is_ours()) {
        close(descriptor_);
    }
}

bool mailbox::is_ours() const noexcept { return file_of(descriptor_) == file_; }

std::uint64_t mailbox::expect() {
    std::scoped_lock const held(guard_);
    if (expected_ == posted_.capacity()) {
        posted_.reserve(std::max<std::size_t>(2 * expected_, 4));
    }
    ++expected_;
    return ++last_;
}

void mailbox::post(letter ended) noexcept {
    std::scoped_lock const held(guard_);
    if (posted_.empty() && is_ours()) {
        eventfd_write(descriptor_, 1);
    }
    posted_.push_back(ended);
    changed_.notify_one();
}

void mailbox::forget() noexcept {
    std::scoped_lock const held(guard_);
    --expected_;
}

std::vector<mailbox::letter> mailbox::take() {
    std::vector<letter> taken;
    std::scoped_lock const held(guard_);
    taken.reserve(expected_);
    taken.swap(posted_);
    expected_ -= taken.size();
    if (eventfd_t ignored = 0; is_ours()) {
        eventfd_read(descriptor_, &ignored);
    }
    return taken;
}

void mailbox::wait() {
    std::unique_lock held(guard_);
    changed_.wait(held, [this] { return woken_ || !posted_.empty(); });
    woken_ = false;
}

void mailbox::wake() noexcept {
    std::scoped_lock const held(guard_);
    woken_ = true;
    changed_.notify_one();
}

}  // namespace handoff
