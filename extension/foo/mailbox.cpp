// mailbox: a list behind a mutex, and an eventfd.
#include "mailbox.hpp"

#include <cerrno>
#include <mutex>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace handoff {

namespace {

int new_eventfd() {
    int const made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made < 0) {
        throw std::system_error(errno, std::generic_category(), "cannot wait in an event loop");
    }
    return made;
}

}  // namespace

mailbox::mailbox() : descriptor_(new_eventfd()) {}

mailbox::~mailbox() { close(descriptor_); }

std::uint64_t mailbox::expect() {
    std::scoped_lock const held(guard_);
    posted_.reserve(expected_ + 1);
    ++expected_;
    return ++last_;
}

void mailbox::post(letter ended) noexcept {
    std::scoped_lock const held(guard_);
    if (posted_.empty()) {
        eventfd_write(descriptor_, 1);
    }
    posted_.push_back(ended);
}

void mailbox::forget(std::uint64_t wait) noexcept {
    std::scoped_lock const held(guard_);
    std::erase_if(posted_, [wait](letter const& each) { return each.wait == wait; });
    --expected_;
}

std::vector<mailbox::letter> mailbox::take() {
    std::vector<letter> taken;
    std::scoped_lock const held(guard_);
    taken.reserve(expected_);
    taken.swap(posted_);
    eventfd_t ignored = 0;
    eventfd_read(descriptor_, &ignored);
    return taken;
}

}  // namespace handoff
