// read_on_thread(): waits at the mailbox, enters through the gate, reads.
#include "reading_thread.hpp"

#include "mailbox.hpp"
#include <handoff/gil/detail/unwinding.hpp>
#include <handoff/gil/label.hpp>
#include <handoff/gil/owned.hpp>
#include <handoff/gil/registration.hpp>
#include <handoff/gil/try_acquire.hpp>

#include <boost/python/errors.hpp>

#include <pthread.h>
#include <stop_token>
#include <thread>
#include <utility>

namespace handoff {

namespace py = boost::python;

namespace {

constexpr char const* thread_name = "handoff futures";  // at most 15 characters

void read_until_the_end(mailbox& from, gil_owned<py::object> const& read) {
    gil_registration const registered(thread_name);
    std::stop_callback const at_the_end(registered.stop_token(), [&] { from.wake(); });
    gil_label const label("handoff delivers results");
    while (!registered.stop_requested()) {
        from.wait();
        gil_try_acquire to_read;
        if (!to_read) {
            return;
        }
        try {
            detail::rather_hang([&] { read.get()(); });
        } catch (py::error_already_set const&) {
            PyErr_WriteUnraisable(read.get().ptr());
        }
    }
}

}  // namespace

void read_on_thread(mailbox& from, py::object const& read) {
    std::thread([from = from.shared_from_this(), read = gil_owned<py::object>(read)] {
        pthread_setname_np(pthread_self(), thread_name);
        read_until_the_end(*from, read);
    }).detach();
}

}  // namespace handoff
