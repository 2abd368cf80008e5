// AddressSanitizer and memcheck see what they must: a fault that is put in on purpose.
#include "deliberate_fault.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <chrono>
#include <limits>
#include <memory>
#include <thread>

namespace {

namespace py = boost::python;
using handoff::foo;
using handoff::gil_acquire;
using handoff::gil_release;
using namespace std::chrono_literals;

constexpr auto used_after_free = "heap-use-after-free|Invalid read";
constexpr auto leaked = "detected memory leaks|definitely lost";

/// What neither the compiler nor valgrind leaves out.
void read(char const volatile* where) { [[maybe_unused]] char volatile const seen = *where; }

/// Of a kind that no other refers to: the garbage collector's list refers to all containers.
void leak_an_object() { py::incref(py::str("leaked").ptr()); }

TEST(MemoryFaultDeathTest, UseAfterFreeIsReported) {
    expect_report(used_after_free, [] {
        char const* volatile const dangling = std::make_unique<char>('x').get();
        read(dangling);
    });
}

TEST(MemoryFaultDeathTest, UseOfAPythonObjectThatIsGoneIsReported) {
    expect_report(used_after_free, [] {
        char const* const dangling = PyUnicode_AsUTF8(py::str("freed at once").ptr());
        read(dangling);
    });
}

#ifdef __SANITIZE_ADDRESS__
TEST(MemoryFaultDeathTest, WhatIsUndefinedIsReported) {
    expect_report("signed integer overflow", [] {
        int volatile most = std::numeric_limits<int>::max();
        most = most + 1;
    });
}
#endif

TEST(MemoryFaultDeathTest, ALeakOfAFooIsReported) {
    expect_report(leaked, [] { std::make_unique<foo>(1h).release(); });
}

TEST(MemoryFaultDeathTest, ALeakOfAPythonObjectIsReported) {
    expect_report(leaked, &leak_an_object);
}

TEST(MemoryFaultDeathTest, ALeakOnANativeThreadIsReported) {
    expect_report(leaked, [] {
        gil_release while_joining;
        std::thread([] {
            gil_acquire gil;
            leak_an_object();
        }).join();
    });
}

TEST(MemoryFaultDeathTest, ALeakInACallbackIsReported) {
    expect_report(leaked, [] {
        foo it(1h, py::make_function([](int) { leak_an_object(); }, py::default_call_policies(),
                                     boost::mpl::vector<void, int>()));
        it.start();
        it.wait(1, 20s);
    });
}

TEST(MemoryFaultDeathTest, NothingIsReportedOfAFooThatIsUsedProperly) {
    expect_no_report([] {
        foo it(1ms);
        it.start();
        it.wait(3, 20s);
    });
}

}  // namespace
