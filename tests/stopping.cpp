// stopping: an application that stops its interpreter beside a call that sleeps, and waits for it.
// stopping natively: the call is one of C++, without a line of Python, which waits without the GIL.
#include <handoff/gil.hpp>
#include <handoff/interpreter.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string_view>
#include <thread>

namespace {

void say(char const* what) {
    std::puts(what);
    std::fflush(stdout);
}

/// Once a byte says that the call is there.
[[gnu::noinline]] void leave(handoff::interpreter& python) {
    std::getchar();
    say("stops");
    python.stop();
    say("stopped");  // or the compiler jumps there, and this function is on no stack
}

/// For nothing that ever comes.
[[gnu::noinline]] void wait_for_device() {
    std::mutex mutex;
    std::condition_variable answered;
    std::unique_lock lock(mutex);
    answered.wait(lock, [] { return false; });
}

void call_natively() {
    handoff::gil_release while_waiting;
    say("ready");
    wait_for_device();
}

}  // namespace

int main(int argc, char* argv[]) {
    bool const natively = argc > 1 && argv[1] == std::string_view("natively");
    handoff::interpreter python({.stop_grace = std::chrono::hours(1)});
    python.start();
    std::thread caller([&python, natively] {
        if (natively) {
            python.invoke(&call_natively);
        } else {
            python.run_string("import time\nprint('ready', flush=True)\ntime.sleep(3600)");
        }
    });
    leave(python);
    caller.join();
}
