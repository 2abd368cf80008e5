// spdlog_sink: name, level, text and place of what spdlog logs, and its thread.
#include "kept_records.hpp"
#include <handoff/logging/spdlog_sink.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <spdlog/logger.h>
#include <spdlog/spdlog.h>
#include <thread>

namespace {

TEST(SpdlogSink, LogsToPython) {
    handoff::interpreter python;
    python.start();
    handoff::log_sink const sink;
    handoff::tests::open(python, sink);
    python.run_string(handoff::tests::keep_records);
    spdlog::logger camera("camera", std::make_shared<handoff::spdlog_sink_mt>(sink));
    camera.set_level(spdlog::level::trace);
    std::jthread([&] {
        camera.trace("t");
        camera.warn("{} frames were late", 3);
        camera.log(spdlog::source_loc{__FILE__, 7, "grab"}, spdlog::level::err, "lost");
    }).join();
    spdlog::logger("\xff", camera.sinks().front()).info("kept");
    EXPECT_TRUE(sink.flush());
    python.run_string(R"python(
told = [(r.name, r.levelno, r.getMessage(), r.filename, r.lineno, r.funcName) for r in kept]
assert told == [
    ("camera", 5, "t", "(unknown file)", 0, "(unknown function)"),
    ("camera", 30, "3 frames were late", "(unknown file)", 0, "(unknown function)"),
    ("camera", 40, "lost", "spdlog_sink_test.cpp", 7, "grab"),
    ("root", 20, "kept", "(unknown file)", 0, "(unknown function)"),
], told
)python");
}

}  // namespace
