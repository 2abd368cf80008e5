// coroutine_runs: a queue; a letter in the mailbox tells the loop about it.
#include "coroutine_runs.hpp"

#include "event_loop.hpp"
#include "mailbox.hpp"
#include <handoff/event_loop/detail/attendant.hpp>
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/release.hpp>
#include <handoff/python_loop.hpp>

#include <boost/python/class.hpp>
#include <boost/python/default_call_policies.hpp>
#include <boost/python/errors.hpp>
#include <boost/python/extract.hpp>
#include <boost/python/import.hpp>
#include <boost/python/make_function.hpp>
#include <boost/python/scope.hpp>
#include <boost/python/tuple.hpp>

#include <boost/mpl/vector.hpp>

#include <mutex>
#include <utility>

namespace handoff {

namespace py = boost::python;

namespace detail {

bool coroutine_run::claim() noexcept {
    std::scoped_lock const held(guard_);
    return !std::exchange(is_claimed_, true);
}

void coroutine_run::end(py::object const& task) {
    if (!claim()) {
        return;
    }
    std::exception_ptr error;
    try {
        succeed(task.attr("result")());
    } catch (py::error_already_set const&) {
        error = std::make_exception_ptr(python_error::fetch());
    } catch (...) {  // a number that does not fit
        error = std::current_exception();
    }
    if (error !=
        nullptr) {  // not in the handler, which would own it together with the thread that gets it
        fail(std::move(error));
    }
    call_next();
}

void coroutine_run::fail_with(py::object const& error) {
    if (!claim()) {
        return;
    }
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    fail(std::make_exception_ptr(python_error::fetch()));
    call_next();
}

void coroutine_run::fail_elsewhere(std::exception_ptr error) noexcept {
    if (!claim()) {
        return;
    }
    fail(std::move(error));
    if (auto const next = take_next()) {
        run_elsewhere(next);
    }
}

bool coroutine_run::when_ended(std::function<void()> next) {
    std::scoped_lock const held(guard_);
    if (has_ended_) {
        return false;
    }
    next_ = std::move(next);
    return true;
}

std::function<void()> coroutine_run::take_next() noexcept {
    std::scoped_lock const held(guard_);
    has_ended_ = true;
    return std::exchange(next_, nullptr);
}

void coroutine_run::call_next() {
    if (auto const next = take_next()) {
        gil_release const while_it_goes_on;
        next();
    }
}

coroutine_runs::coroutine_runs(std::shared_ptr<mailbox> to)
    : to_(std::move(to)), number_(to_->expect()) {}

void coroutine_runs::post(request asked) {
    requests_.push_back(std::move(asked));
    if (requests_.size() == 1) {
        try {
            static_cast<void>(to_->expect());
        } catch (...) {
            requests_.clear();
            throw;
        }
        to_->post({.wait = number_, .reached = true});
    }
}

void coroutine_runs::start(std::shared_ptr<coroutine_run> const& asked) {
    if (!left_behind()) {
        std::scoped_lock const held(guard_);
        if (!is_closed_) {
            auto const number = ++last_;
            asked->number = number;
            auto const added = running_.emplace(number, asked).first;
            try {
                post({.of = number, .start = asked});
            } catch (...) {
                running_.erase(added);
                throw;
            }
            return;
        }
    }
    asked->fail_elsewhere(std::make_exception_ptr(loop_closed()));
}

void coroutine_runs::cancel(coroutine_run const& unwanted) noexcept {
    if (left_behind()) {
        return;
    }
    std::scoped_lock const held(guard_);
    if (!is_closed_ && running_.contains(unwanted.number)) {
        post({.of = unwanted.number, .start = nullptr});
    }
}

py::list coroutine_runs::take() {
    std::vector<request> taken;
    {
        std::scoped_lock const held(guard_);
        taken.swap(requests_);
    }
    py::list requests;
    for (auto const& each : taken) {
        requests.append(
            py::make_tuple(each.of, each.start != nullptr ? py::object(each.start) : py::object()));
    }
    return requests;
}

void coroutine_runs::forget(coroutine_run const& ended) noexcept {
    if (left_behind()) {
        return;
    }
    std::scoped_lock const held(guard_);
    running_.erase(ended.number);
}

void coroutine_runs::close() noexcept {
    if (left_behind()) {
        return;
    }
    std::map<std::uint64_t, std::shared_ptr<coroutine_run>> failed;
    std::vector<request> unread;
    {
        std::scoped_lock const held(guard_);
        is_closed_ = true;
        failed.swap(running_);
        unread.swap(requests_);
    }
    for (auto const& [number, run] : failed) {
        run->fail_elsewhere(std::make_exception_ptr(loop_closed()));
    }
}

std::shared_ptr<coroutine_runs> runs_of(py::object const& loop) {
    return rather_hang([&] {
        auto const make = [](mailbox& to) {
            return std::make_shared<end_of_coroutine_runs>(
                std::make_shared<coroutine_runs>(to.shared_from_this()));
        };
        using signature = boost::mpl::vector<std::shared_ptr<end_of_coroutine_runs>, mailbox&>;
        py::object const end = from_event_loop("runs_of")(
            loop, py::make_function(make, py::default_call_policies(), signature()));
        return py::extract<end_of_coroutine_runs&>(end)().its();
    });
}

py::object running_loop() {
    return rather_hang([] { return py::import("asyncio").attr("get_running_loop")(); });
}

void start(coroutine_runs& in, std::shared_ptr<coroutine_run> const& asked) { in.start(asked); }

void cancel(coroutine_runs& in, coroutine_run const& unwanted) noexcept { in.cancel(unwanted); }

}  // namespace detail

void register_coroutine_runs() {
    using detail::coroutine_run;
    using detail::end_of_coroutine_runs;
    py::scope const nowhere{py::object()};
    py::class_<coroutine_run, std::shared_ptr<coroutine_run>, boost::noncopyable>("CoroutineRun",
                                                                                  py::no_init)
        .def("coroutine", &coroutine_run::coroutine)
        .def("end", &coroutine_run::end)
        .def("fail", &coroutine_run::fail_with);
    py::class_<end_of_coroutine_runs, std::shared_ptr<end_of_coroutine_runs>, boost::noncopyable>(
        "CoroutineRuns", py::no_init)
        .def(
            "number", +[](end_of_coroutine_runs const& self) { return self.its()->number(); })
        .def(
            "take", +[](end_of_coroutine_runs const& self) { return self.its()->take(); })
        .def(
            "forget", +[](end_of_coroutine_runs const& self, coroutine_run const& ended) {
                self.its()->forget(ended);
            });
}

}  // namespace handoff
