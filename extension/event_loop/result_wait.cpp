// result_wait: listens to a result's state, and posts.
#include "result_wait.hpp"

#include "mailbox.hpp"
#include <handoff/event_loop/detail/attendant.hpp>
#include <handoff/gil/release.hpp>

#include <boost/python/class.hpp>
#include <boost/python/scope.hpp>

#include <utility>

namespace handoff {

namespace py = boost::python;

result_wait::result_wait(std::shared_ptr<detail::result_state> awaited, std::shared_ptr<mailbox> to)
    : awaited_(std::move(awaited)), to_(std::move(to)), number_(to_->expect()) {}

result_wait::~result_wait() {
    if (auto const unwanted = give_up()) {
        detail::run_elsewhere([unwanted] { unwanted->request_stop(); });
    }
}

std::shared_ptr<detail::result_state> result_wait::give_up() noexcept {
    auto awaited = std::exchange(awaited_, nullptr);
    if (awaited == nullptr || awaited->left_behind()) {
        return nullptr;
    }
    bool const was_last = awaited->remove(*this);
    if (!posted_) {
        to_->forget();
    }
    return was_last ? std::move(awaited) : nullptr;
}

void result_wait::start() {
    if (!awaited_->add(*this)) {
        settled();
    }
}

py::object result_wait::result(bool) { return std::exchange(awaited_, nullptr)->get(); }

void result_wait::cancel() {
    if (auto const unwanted = give_up()) {
        gil_release const while_callbacks_run;
        unwanted->request_stop();
    }
}

void result_wait::settled() noexcept {
    posted_ = true;
    to_->post({.wait = number_, .reached = true});
}

void register_result_waits() {
    py::scope const nowhere{py::object()};
    py::class_<result_wait, std::shared_ptr<result_wait>, boost::noncopyable>("ResultWait",
                                                                              py::no_init)
        .def("number", &result_wait::number)
        .def("start", &result_wait::start)
        .def("result", &result_wait::result)
        .def("cancel", &result_wait::cancel);
}

}  // namespace handoff
