// posted_arrival: tells an event loop's mailbox, once, that a channel may have something to take.
#pragma once

#include "mailbox.hpp"
#include <handoff/channel.hpp>
#include <handoff/channel/listener.hpp>

#include <cstdint>
#include <memory>

namespace handoff::detail {

/// Given up when it is destroyed, which Python may do anywhere: nothing waits.
///
/// GIL: any; unchanged. Threads: that of its owner; it is told on any.
class posted_arrival final : public channel_listener {
public:
    /// Throws: std::bad_alloc.
    posted_arrival(std::weak_ptr<channel_end> const& of, std::shared_ptr<mailbox> to);
    ~posted_arrival() override;
    posted_arrival(posted_arrival const&) = delete;
    posted_arrival& operator=(posted_arrival const&) = delete;

    /// What it is called in the mailbox.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

protected:
    void hear() noexcept override;

private:
    std::shared_ptr<mailbox> to_;
    std::uint64_t number_;
    unsigned born_in_;
    bool posted_ = false;  // by whoever tells, until it is withdrawn
};

}  // namespace handoff::detail
