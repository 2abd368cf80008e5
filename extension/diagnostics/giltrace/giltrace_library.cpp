// libgiltrace.so: the timeline for any Python, by the package giltrace.
#include "tool_library.hpp"
#include <handoff/giltrace.hpp>

using handoff::detail::failure_of;

// For ctypes.PyDLL, as the functions of handoff::giltrace. GIL: held.
extern "C" {

[[gnu::visibility("default")]] char const* giltrace_start(char const* output, double stack_after,
                                                          double last, double when_wait_exceeds,
                                                          int signal, bool summary_at_exit) {
    using handoff::giltrace::summary;
    using seconds = std::chrono::duration<double>;
    return failure_of([=] {
        handoff::giltrace::start(output,
                                 {.stack_after = seconds(stack_after),
                                  .last = seconds(last),
                                  .when_wait_exceeds = seconds(when_wait_exceeds),
                                  .signal = signal,
                                  .at_exit = summary_at_exit ? summary::on_stderr : summary::none});
    });
}

[[gnu::visibility("default")]] char const* giltrace_end() {
    return failure_of([] { handoff::giltrace::end(); });
}

// For ctypes.CDLL. GIL: not held.
[[gnu::visibility("default")]] char const* giltrace_write_ended(bool with_summary) {
    using handoff::giltrace::summary;
    return failure_of(
        [=] { handoff::giltrace::write_ended(with_summary ? summary::on_stderr : summary::none); });
}

// As handoff::giltrace::finish(). GIL: held.
[[gnu::visibility("default")]] void giltrace_finish() { handoff::giltrace::finish(); }

[[gnu::visibility("default")]] char const* giltrace_write(char const* recording,
                                                          char const* output) {
    return failure_of([=] { handoff::giltrace::write(recording, output); });
}

[[gnu::visibility("default")]] char const* giltrace_snapshot(char const* output) {
    return failure_of([=] { handoff::giltrace::snapshot(output); });
}
}
