// with_and_without_gil: each test of what has to work with the GIL and without it runs in both.
#pragma once

#include <handoff/gil.hpp>

#include <gtest/gtest.h>

#include <optional>

/// Its parameter: whether the test's thread holds the GIL, which is looked at in the end, too.
class with_and_without_gil : public testing::TestWithParam<bool> {
protected:
    void SetUp() override {
        if (GetParam()) {
            gil_.emplace();
        }
    }
    void TearDown() override {
        EXPECT_EQ(handoff::gil_held(), GetParam());
        gil_.reset();
    }

public:
    /// For INSTANTIATE_TEST_SUITE_P.
    static constexpr auto name = [](testing::TestParamInfo<bool> const& its) {
        return its.param ? "TheGilIsHeld" : "TheGilIsNotHeld";
    };

private:
    std::optional<handoff::gil_acquire> gil_;
};
