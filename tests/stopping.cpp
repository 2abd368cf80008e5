// stopping: an application that stops its interpreter beside a call that sleeps, and waits for it.
#include <handoff/interpreter.hpp>

#include <chrono>
#include <cstdio>
#include <thread>

namespace {

/// Once a byte says that the call is there.
[[gnu::noinline]] void leave(handoff::interpreter& python) {
    std::getchar();
    python.stop();
    std::puts("stopped");  // or the compiler jumps there, and this function is on no stack
}

}  // namespace

int main() {
    handoff::interpreter python({.stop_grace = std::chrono::hours(1)});
    python.start();
    std::thread caller([&python] {
        python.run_string("import time\nprint('ready', flush=True)\ntime.sleep(3600)");
    });
    leave(python);
    caller.join();
}
