// Native threads log, and go on when Python ends: what was taken is delivered.
#include <handoff/boost_python.hpp>
#include <handoff/logging.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

namespace py = boost::python;

/// Lives as long as the process, as its threads do.
struct reporter {
    handoff::log_sink sink{{.capacity = 64, .policy = handoff::when_full::block}};
    std::atomic<std::uint64_t> taken = 0;
    std::atomic<int> running = 0;

    static reporter& only() {
        static auto* const made = std::make_unique<reporter>().release();
        return *made;
    }
};

void open() {
    if (!reporter::only().sink.open()) {
        throw py::error_already_set();
    }
}

/// Each of these logs "thread 0", "thread 1", …
void start(int threads, int count) {
    auto& own = reporter::only();
    for (int thread = 0; thread < threads; ++thread) {
        ++own.running;
        std::thread([&own, thread, count] {
            handoff::logger const log(own.sink, "device");
            for (int i = 0; i < count; ++i) {
                auto const answer = log.info(std::to_string(thread) + " " + std::to_string(i));
                if (answer == handoff::pushed::closed) {
                    break;
                }
                own.taken += answer == handoff::pushed::taken ? 1 : 0;
            }
            --own.running;
            own.running.notify_all();
        }).detach();
    }
}

/// GIL: not held.
void wait() {
    auto& own = reporter::only();
    for (int left = own.running; left != 0; left = own.running) {
        own.running.wait(left);
    }
}

bool flush() { return reporter::only().sink.flush(); }

/// At the end, when the sink is closed.
void check() {
    auto const& own = reporter::only();
    if (auto const counts = own.sink.counts(); counts.delivered < own.taken) {
        throw std::runtime_error("of " + std::to_string(own.taken) + " records " +
                                 std::to_string(counts.delivered) + " were delivered");
    }
}

}  // namespace

HANDOFF_PYTHON_MODULE(reporter) {
    py::def("open", &open);
    py::def("start", &start);
    py::def("wait", handoff::without_gil(&wait));
    py::def("flush", &flush);
    py::def("check", &check);
}
