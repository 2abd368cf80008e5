// channel_listener: notified by a push that there is something to take, so that no thread waits.
#pragma once

#include <handoff/gil/detail/cpp20.hpp>

#include <boost/intrusive/list.hpp>

#include <memory>

namespace handoff {

namespace detail {
class channel_end;
class doorbell;
}  // namespace detail

/// For an event loop that consumes a channel: it cannot wait, and is woken instead.
///
///     class arrival final : public handoff::channel_listener {
///     public:
///         explicit arrival(channel<sample> const& samples) { listen(samples.end()); }
///         ~arrival() override { withdraw(); }
///     protected:
///         void hear() noexcept override { eventfd_write(woken, 1); }
///     };
///
///     listen()                        hear() is called
///     nothing to take                 once: by the thread that pushes the next value, by values
///                                     that come back from a loan, or by close()
///     something to take, or nothing   once, inside listen()
///       will ever arrive
///     after withdraw()                never
///
/// It means "look again": another consumer may have been faster. A consumer that finds too little
/// listens again. A push pays for a listener only if one listens, and then once, not once per
/// message.
///
/// GIL:     never touched.
/// Threads: any; listen() and withdraw() must not be called at the same time.
class channel_listener : public boost::intrusive::list_base_hook<
                             boost::intrusive::link_mode<boost::intrusive::normal_link>> {
public:
    virtual ~channel_listener() = default;
    channel_listener(channel_listener const&) = delete;
    channel_listener& operator=(channel_listener const&) = delete;

protected:
    channel_listener() = default;

    /// REQUIRES: it does not listen now: it is new, has heard, or was withdrawn.
    void listen(std::weak_ptr<detail::channel_end> const& to) noexcept;

    /// hear() is not called any more, and no call of it is in progress. Idempotent.
    /// REQUIRES: called in the destructor of the class that defines hear(), before its members end.
    void withdraw() noexcept;

    /// Called at most once for each listen(), on any thread, with a mutex of the channel held. It
    /// only notifies others, and must not call any member of the channel or of this.
    virtual void hear() noexcept = 0;

private:
    friend class detail::doorbell;

    std::shared_ptr<detail::channel_end> to_;
    bool enrolled_ = false;  // guarded by the doorbell's mutex
};

}  // namespace handoff
