// deliberate_fault: a process of its own that does what a sanitizer or valgrind must report.
#pragma once

#include <handoff/foo.hpp>
#include <handoff/interpreter.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

/// Does it with Python running and the GIL held, and then ends as any program does. On a thread:
/// what is left of a pointer on the stack, a leak detector takes for one that is in use.
template <class Fault>
[[noreturn]] void end_after(Fault const& fault) {
    {
        handoff::interpreter python;
        python.add_module("Foo", &PyInit_Foo);
        python.start();
        std::thread([&] { python.invoke(fault); }).join();
    }
    std::exit(EXIT_SUCCESS);
}

/// Passes when the process ends with the sanitizers' exit code, after these words on stderr.
template <class Fault>
void expect_report(char const* words, Fault const& fault) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(end_after(fault), testing::ExitedWithCode(99), words);
}

/// Passes when the process ends as it should, without a word.
template <class Fault>
void expect_no_report(Fault const& fault) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(end_after(fault), testing::ExitedWithCode(EXIT_SUCCESS), "^$");
}
