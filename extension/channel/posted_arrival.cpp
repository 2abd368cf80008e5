// posted_arrival: listens from its construction on, and posts what it hears.
#include "posted_arrival.hpp"

#include <handoff/channel/short_lock.hpp>

#include <utility>

namespace handoff::detail {

posted_arrival::posted_arrival(std::weak_ptr<channel_end> const& of, std::shared_ptr<mailbox> to)
    : to_(std::move(to)), number_(to_->expect()), born_in_(forks()) {
    listen(of);
}

posted_arrival::~posted_arrival() {
    withdraw();
    // In the child of a fork, one of the parent's threads may have had the mailbox locked.
    if (!posted_ && born_in_ == forks()) {
        to_->forget();
    }
}

void posted_arrival::hear() noexcept {
    posted_ = true;
    to_->post({.wait = number_, .reached = true});
}

}  // namespace handoff::detail
