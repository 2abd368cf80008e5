// result_state: which listeners are notified, and when none is left.
#include "event_loop.hpp"
#include "mailbox.hpp"
#include "result_wait.hpp"
#include <handoff/event_loop/detail/result_state.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/gate.hpp>
#include <handoff/operation_error.hpp>

#include <boost/python/default_call_policies.hpp>
#include <boost/python/errors.hpp>
#include <boost/python/make_function.hpp>

#include <boost/mpl/vector.hpp>

#include <future>
#include <mutex>
#include <stdexcept>

namespace handoff::detail {

result_state::~result_state() = default;

bool result_state::try_claim() noexcept {
    auto none = progress::none;
    return progress_.compare_exchange_strong(none, progress::claimed);
}

void result_state::claim() {
    if (!try_claim()) {
        throw std::future_error(std::future_errc::promise_already_satisfied);
    }
}

void result_state::publish() noexcept {
    if (left_behind()) {  // the threads that wait do not exist here
        progress_ = progress::settled;
        return;
    }
    std::scoped_lock const held(guard_);
    progress_ = progress::settled;
    for (listener* const each : listeners_) {
        each->settled();
    }
    listeners_.clear();
}

void result_state::set_exception(std::exception_ptr error) {
    claim();
    error_ = error != nullptr ? std::move(error)
                              : std::make_exception_ptr(std::invalid_argument(
                                    "set_exception() was given a null std::exception_ptr: use "
                                    "set_value() for a success"));
    publish();
}

void result_state::set_exception_if_none(std::exception_ptr error) noexcept {
    if (try_claim()) {
        error_ = std::move(error);
        publish();
    }
}

bool result_state::is_settled() const noexcept { return progress_ == progress::settled; }

bool result_state::add(listener& added) {
    if (left_behind()) {
        return false;
    }
    std::scoped_lock const held(guard_);
    if (is_settled()) {
        return false;
    }
    listeners_.push_back(&added);
    return true;
}

bool result_state::remove(listener& removed) noexcept {
    if (left_behind()) {
        return false;
    }
    std::scoped_lock const held(guard_);
    return std::erase(listeners_, &removed) > 0 && listeners_.empty();
}

boost::python::object result_state::get() const {
    if (!is_settled()) {
        throw std::runtime_error(
            "this process was forked before the result was there: the threads that would make it "
            "are the parent's");
    }
    if (error_ != nullptr) {
        try {
            std::rethrow_exception(error_);
        } catch (operation_error const& failed) {
            failed.restore();
            throw boost::python::error_already_set();
        }
    }
    return value_to_python();
}

boost::python::object future_of(std::shared_ptr<result_state> const& awaited) {
    if (!gil_gate::was_opened() && !gil_gate::open()) {
        throw boost::python::error_already_set();
    }
    return rather_hang([&] {
        auto const begin = [awaited](mailbox& to) {
            return std::make_shared<result_wait>(awaited, to.shared_from_this());
        };
        using signature = boost::mpl::vector<std::shared_ptr<result_wait>, mailbox&>;
        return from_event_loop("future_of")(boost::python::make_function(
            begin, boost::python::default_call_policies(), signature()));
    });
}

}  // namespace handoff::detail
