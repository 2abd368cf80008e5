// A module whose native threads log, for test_logging.py.
#include <handoff/boost_python.hpp>
#include <handoff/logging.hpp>
#include <handoff/logging/log_handler.hpp>
#include <handoff/logging/python_streambuf.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

namespace py = boost::python;

handoff::when_full policy_of(std::string const& name) {
    return name == "block"    ? handoff::when_full::block
           : name == "refuse" ? handoff::when_full::refuse
                              : handoff::when_full::drop_oldest;
}

std::string_view text_of(handoff::pushed answer) {
    return answer == handoff::pushed::taken    ? "taken"
           : answer == handoff::pushed::closed ? "closed"
                                               : "refused";
}

class sink {
public:
    sink(int capacity, std::string const& policy, int patience)
        : to_({.capacity = capacity,
               .policy = policy_of(policy),
               .patience = std::chrono::milliseconds(patience)}) {}

    void open() {
        if (!to_.open()) {
            throw py::error_already_set();
        }
    }

    /// In the calling thread.
    std::string log(std::string const& name, int level, std::string const& text) {
        handoff::logger const log(to_, name);
        return std::string(text_of(log.log(handoff::log_level_from(level), text)));
    }

    /// In native threads, that never take the GIL; "0 0", "0 1", ... Returns when they have ended.
    void log_from_threads(std::string const& name, int threads, int count) {
        handoff::logger const log(to_, name);
        handoff::gil_release while_they_log;
        std::vector<std::jthread> all;
        all.reserve(static_cast<std::size_t>(threads));
        for (int thread = 0; thread < threads; ++thread) {
            all.emplace_back([=] {
                pthread_setname_np(pthread_self(), ("native " + std::to_string(thread)).c_str());
                for (int each = 0; each < count; ++each) {
                    log.info(std::to_string(thread) + " " + std::to_string(each));
                }
            });
        }
    }

    /// Of one that goes on until the module ends.
    void start(std::string const& name) {
        handoff::logger const log(to_, name);
        endless_ = std::jthread([log](std::stop_token const& stop) {
            for (int each = 0; !stop.stop_requested(); ++each) {
                log.info(std::to_string(each));
            }
        });
    }
    void stop() {
        handoff::gil_release while_it_ends;
        endless_ = std::jthread();
    }

    /// A native thread logs under a mutex, which the caller waits for with the GIL held.
    void log_under_a_mutex(int count) {
        handoff::logger const log(to_, "mutex");
        std::mutex wanted;
        std::atomic<int> logged = 0;
        std::jthread const native([&] {
            for (int each = 0; each < count; ++each) {
                std::scoped_lock const held(wanted);
                log.info("under it");
                ++logged;
            }
        });
        while (logged < count) {
            std::scoped_lock const held(wanted);
        }
    }

    void print(std::string const& text, bool to_stderr, bool flushed) {
        std::ostream& stream = to_stderr ? std::cerr : std::cout;
        handoff::gil_release while_it_writes;
        handoff::python_streambuf const shown(stream, to_,
                                              to_stderr ? handoff::python_stream::standard_error
                                                        : handoff::python_stream::standard_output);
        std::jthread([&] {
            stream << text;
            if (flushed) {
                stream << std::flush;
            }
        }).join();
    }

    /// What the child of a fork() that Python does not know of is told.
    std::string log_in_native_child() {
        handoff::logger const log(to_, "child");
        pid_t const child = fork();
        if (child == 0) {
            _exit(log.info("x") == handoff::pushed::closed ? 7 : 1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        return std::to_string(WEXITSTATUS(status));
    }

    bool flush(double seconds) {
        return to_.flush(std::chrono::nanoseconds(static_cast<long long>(seconds * 1e9)));
    }
    void set_level(int level) { to_.set_level(static_cast<handoff::log_level>(level)); }
    void set_level_by_name(std::string const& name) {
        to_.set_level(handoff::log_level_from(name));
    }
    void follow_python_levels() {
        if (!to_.follow_python_levels()) {
            throw py::error_already_set();
        }
    }
    bool is_enabled(int level) { return to_.is_enabled(static_cast<handoff::log_level>(level)); }

    py::dict counts() const {
        handoff::log_counts const now = to_.counts();
        py::dict told;
        told["delivered"] = now.delivered;
        told["dropped"] = now.dropped;
        told["recursive"] = now.recursive;
        told["refused"] = now.refused;
        told["raised"] = now.raised;
        told["waiting"] = now.waiting;
        return told;
    }

private:
    handoff::log_sink to_;
    std::jthread endless_;
};

/// Has std::cout show what it is given in Python for as long as the process lives.
class kept_stream {
public:
    explicit kept_stream(int capacity) {
        handoff::log_sink to({.capacity = capacity, .policy = handoff::when_full::refuse});
        if (!to.open()) {
            throw py::error_already_set();
        }
        new handoff::python_streambuf(std::cout, to, handoff::python_stream::standard_output);
    }

    /// Writes lines in a native thread, until the process ends.
    static void write_for_ever() {
        std::thread([] {
            for (;;) {
                std::cout << "text\n";
            }
        }).detach();
    }
    static void write(std::string const& text) {
        handoff::gil_release while_it_writes;
        std::cout << text;
    }
    static bool is_good() { return std::cout.good(); }
};

/// Logs when the process ends, after Python.
void log_after_python() {
    static handoff::log_sink after;
    if (!after.open()) {
        throw py::error_already_set();
    }
    std::atexit([] {
        handoff::logger const log(after, "after");
        std::cout << text_of(log.error("too late")) << " " << after.counts().refused << "\n"
                  << std::flush;
    });
}

std::vector<std::string> seen;

py::object handler(bool throws) {
    return py::object(
        py::handle<>(handoff::new_log_handler([throws](handoff::python_log_record const& record) {
            if (throws) {
                throw std::runtime_error("no room in the journal");
            }
            seen.push_back(std::string(record.logger) + " " +
                           std::to_string(static_cast<int>(record.level)) + " " +
                           std::string(record.text) + " " + std::string(record.function) + " " +
                           std::string(record.thread_name) + (record.line == 0 ? " nowhere" : "") +
                           (record.time == std::chrono::system_clock::time_point() ? " ever" : ""));
        })));
}

py::list handled() {
    py::list all;
    for (std::string const& each : seen) {
        all.append(each);
    }
    return all;
}

}  // namespace

HANDOFF_PYTHON_MODULE(logs) {
    py::class_<sink, boost::noncopyable>("Sink", py::init<int, std::string, int>())
        .def("open", &sink::open)
        .def("log", &sink::log)
        .def("log_from_threads", &sink::log_from_threads)
        .def("start", &sink::start)
        .def("stop", &sink::stop)
        .def("log_under_a_mutex", &sink::log_under_a_mutex)
        .def("print", &sink::print)
        .def("log_in_native_child", &sink::log_in_native_child)
        .def("flush", &sink::flush)
        .def("set_level", &sink::set_level)
        .def("set_level", &sink::set_level_by_name)
        .def("follow_python_levels", &sink::follow_python_levels)
        .def("is_enabled", &sink::is_enabled)
        .def("counts", &sink::counts);
    py::class_<kept_stream, boost::noncopyable>("KeptStream", py::init<int>())
        .def("write_for_ever", &kept_stream::write_for_ever)
        .staticmethod("write_for_ever")
        .def("write", &kept_stream::write)
        .staticmethod("write")
        .def("is_good", &kept_stream::is_good)
        .staticmethod("is_good");
    py::def("log_after_python", &log_after_python);
    py::def("handler", &handler);
    py::def("handled", &handled);
}
