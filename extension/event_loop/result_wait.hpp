// result_wait: one Python future's wait for a result, whose end is posted to a mailbox.
#pragma once

#include <handoff/event_loop/detail/result_state.hpp>

#include <boost/python/object.hpp>

#include <cstdint>
#include <memory>

namespace handoff {

class mailbox;

/// GIL: held, for all members except settled().
class result_wait final : public detail::result_state::listener {
public:
    /// Throws: std::bad_alloc.
    result_wait(std::shared_ptr<detail::result_state> awaited, std::shared_ptr<mailbox> to);
    /// If there was no result yet, its maker is asked to stop. This happens on another thread,
    /// because Python may destroy this anywhere.
    ~result_wait();
    result_wait(result_wait const&) = delete;
    result_wait& operator=(result_wait const&) = delete;

    /// Its number in the mailbox.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

    /// From now on it posts; at once if there is a result. Throws: std::bad_alloc.
    void start();

    /// The result, converted to Python, once: it is given up then. Rethrows an exception.
    /// REQUIRES: it has posted.
    [[nodiscard]] boost::python::object result(bool reached);

    /// The Python future was cancelled: the maker of the result is asked to stop, in this thread
    /// and with the GIL released.
    void cancel();

    void settled() noexcept override;

private:
    /// Returns: the state, if no wait for it is left and there is no result.
    std::shared_ptr<detail::result_state> give_up() noexcept;

    std::shared_ptr<detail::result_state> awaited_;  // null: given up
    std::shared_ptr<mailbox> const to_;
    std::uint64_t const number_;
    bool posted_ = false;  // guarded by the state's mutex, until it has been removed
};

/// Registers the class with Python. GIL: held. Throws: boost::python::error_already_set.
void register_result_waits();

}  // namespace handoff
