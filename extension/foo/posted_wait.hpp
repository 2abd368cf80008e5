// posted_wait: a wait for a Foo whose end is posted to a mailbox, for an event loop.
#pragma once

#include "mailbox.hpp"
#include "ticker.hpp"
#include "waits.hpp"

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <cstdint>
#include <memory>

namespace handoff {

/// Dropping it gives up the wait.
///
/// GIL: held, by all members.
class posted_wait final : public waits::waiter {
public:
    /// Throws: std::bad_alloc; boost::python::error_already_set, as ticker::wait().
    posted_wait(boost::intrusive_ptr<ticker> awaited, Py_ssize_t count,
                std::shared_ptr<mailbox> to);
    ~posted_wait() override;
    posted_wait(posted_wait const&) = delete;
    posted_wait& operator=(posted_wait const&) = delete;

    /// Its number in the mailbox.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

protected:
    void wake(bool reached) noexcept override;

private:
    boost::intrusive_ptr<ticker> awaited_;
    std::shared_ptr<mailbox> to_;
    std::uint64_t number_;
    bool posted_ = false;  // guarded like the waits
};

}  // namespace handoff
