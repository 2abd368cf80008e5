// embedded_python: one interpreter, with Foo built in, for all the tests of a process.
#pragma once

#include <handoff/foo.hpp>
#include <handoff/interpreter.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>

/// How long a test waits for what must happen, before it calls it a hang.
inline constexpr std::chrono::seconds long_enough{20 * HANDOFF_PATIENCE};
/// How long a test waits for what must not happen.
inline constexpr std::chrono::milliseconds a_while{50};

/// Whether it is ready within `long_enough`.
template <class T>
bool arrives(std::future<T> const& awaited) {
    return awaited.wait_for(long_enough) == std::future_status::ready;
}

/// Started before the first test, with the GIL free, and stopped after the last.
class embedded_python : public testing::Environment {
public:
    void SetUp() override {
        python().add_module("Foo", &PyInit_Foo);
        python().start();
    }
    void TearDown() override { python().stop(); }

    static handoff::interpreter& python() {
        static handoff::interpreter only;
        return only;
    }
};

// NOLINTNEXTLINE(bugprone-throwing-static-initialization): a test that cannot begin may end
inline testing::Environment* const the_python =
    testing::AddGlobalTestEnvironment(std::make_unique<embedded_python>().release());
