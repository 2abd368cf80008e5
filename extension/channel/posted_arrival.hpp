// posted_arrival: posts once to an event loop's mailbox that a channel may have something to take.
#pragma once

#include "mailbox.hpp"
#include <handoff/channel.hpp>
#include <handoff/channel/listener.hpp>

#include <cstdint>
#include <memory>

namespace handoff::detail {

/// Destroying it ends the wait. Python may destroy it anywhere, so the destructor does not wait.
///
/// GIL: any; unchanged. Threads: its owner's; any thread may notify it.
class posted_arrival final : public channel_listener {
public:
    /// Throws: std::bad_alloc.
    posted_arrival(std::weak_ptr<channel_end> const& of, std::shared_ptr<mailbox> to);
    ~posted_arrival() override;
    posted_arrival(posted_arrival const&) = delete;
    posted_arrival& operator=(posted_arrival const&) = delete;

    /// Its number in the mailbox.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

protected:
    void hear() noexcept override;

private:
    std::shared_ptr<mailbox> to_;
    std::uint64_t number_;
    unsigned born_in_;
    bool posted_ = false;  // set by the thread that notifies it, until it is withdrawn
};

}  // namespace handoff::detail
