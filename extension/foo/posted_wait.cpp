// posted_wait: posts at once if the count is reached already, or cannot be reached any more.
#include "posted_wait.hpp"

#include <utility>

namespace handoff {

posted_wait::posted_wait(boost::intrusive_ptr<ticker> awaited, Py_ssize_t count,
                         std::shared_ptr<mailbox> to)
    : waiter(count), awaited_(std::move(awaited)), to_(std::move(to)) {
    bool const reached = awaited_->has_delivered(count);
    if (!reached) {
        awaited_->refuse_within_delivery(count);
    }
    number_ = to_->expect();
    try {
        if (reached) {
            wake(true);
        } else if (enrol(awaited_->its_waits())) {
            awaited_->tell_waits();
        } else {
            wake(awaited_->has_delivered(count));  // delivered meanwhile, before the run ended
        }
    } catch (...) {
        to_->forget();
        throw;
    }
}

posted_wait::~posted_wait() {
    withdraw();
    // In the child of a fork() the mailbox may be locked, by a thread of the parent's.
    if (!posted_ && !left_behind()) {
        to_->forget();
    }
}

void posted_wait::wake(bool reached) noexcept {
    posted_ = true;
    to_->post({.wait = number_, .reached = reached});
}

}  // namespace handoff
