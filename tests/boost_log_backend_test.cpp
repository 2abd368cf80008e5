// boost_log_backend: channel, severity and text of what Boost.Log logs.
#include "kept_records.hpp"
#include <handoff/logging/boost_log_backend.hpp>

#include <boost/log/core.hpp>
#include <boost/log/sinks/unlocked_frontend.hpp>
#include <boost/log/sources/record_ostream.hpp>
#include <boost/log/sources/severity_channel_logger.hpp>
#include <boost/log/trivial.hpp>
#include <boost/smart_ptr/make_shared_object.hpp>
#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace {

TEST(BoostLogBackend, LogsToPython) {
    handoff::interpreter python;
    python.start();
    handoff::log_sink const sink;
    handoff::tests::open(python, sink);
    python.run_string(handoff::tests::keep_records);
    namespace log = boost::log;
    auto const frontend = boost::make_shared<log::sinks::unlocked_sink<handoff::boost_log_backend>>(
        boost::make_shared<handoff::boost_log_backend>(sink, "device"));
    log::core::get()->add_sink(frontend);
    std::jthread([] {
        BOOST_LOG_TRIVIAL(warning) << "late by " << 3;
        log::sources::severity_channel_logger<log::trivial::severity_level, std::string> camera(
            log::keywords::channel = "camera");
        BOOST_LOG_SEV(camera, log::trivial::error) << "lost";
        camera.channel(std::string("bad\0name", 8));
        BOOST_LOG_SEV(camera, log::trivial::error) << "kept";
    }).join();
    log::core::get()->remove_sink(frontend);
    EXPECT_TRUE(sink.flush());
    python.run_string(R"python(
told = [(r.name, r.levelno, r.getMessage()) for r in kept]
assert told == [
    ("device", 30, "late by 3"),
    ("camera", 40, "lost"),
    ("device", 40, "kept"),
], told
)python");
}

}  // namespace
