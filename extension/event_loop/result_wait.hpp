// result_wait: one Python future's wait for a result, whose end is posted to a mailbox.
#pragma once

#include <handoff/event_loop/detail/result_state.hpp>

#include <boost/python/object.hpp>

#include <cstdint>
#include <memory>

namespace handoff {

class mailbox;

/// GIL: held, by all members but settled().
class result_wait final : public detail::result_state::listener {
public:
    /// Throws: std::bad_alloc.
    result_wait(std::shared_ptr<detail::result_state> awaited, std::shared_ptr<mailbox> to);
    /// Where there was no result yet, who would make it is asked to stop: on another thread, as
    /// Python destroys this anywhere.
    ~result_wait();
    result_wait(result_wait const&) = delete;
    result_wait& operator=(result_wait const&) = delete;

    /// What it is called in the mailbox.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

    /// From now on it posts; at once where there is a result. Throws: std::bad_alloc.
    void start();

    /// The result, converted to Python, once: it is given up then. Rethrows an exception.
    /// REQUIRES: it has posted.
    [[nodiscard]] boost::python::object result(bool reached);

    /// The Python future was cancelled: who would make the result is asked to stop, in this thread
    /// and with the GIL released.
    void cancel();

    void settled() noexcept override;

private:
    /// Returns: the state, where nobody waits for it any more, and there is no result.
    std::shared_ptr<detail::result_state> give_up() noexcept;

    std::shared_ptr<detail::result_state> awaited_;  // null: given up
    std::shared_ptr<mailbox> const to_;
    std::uint64_t const number_;
    bool posted_ = false;  // guarded by the state's mutex, until it has been removed
};

/// Has Python know the class. GIL: held. Throws: boost::python::error_already_set.
void register_result_waits();

}  // namespace handoff
