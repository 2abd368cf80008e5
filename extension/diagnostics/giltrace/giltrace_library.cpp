// libgiltrace.so: the timeline for any Python, by the package giltrace.
#include <handoff/giltrace.hpp>

#include <exception>
#include <string>

namespace {

/// Returns: null, or what was thrown; valid until the next call.
template <class Work>
char const* failure_of(Work const& work) {
    static std::string failure;
    try {
        work();
        return nullptr;
    } catch (std::exception const& thrown) {
        failure = thrown.what();
        return failure.c_str();
    }
}

}  // namespace

// For ctypes.PyDLL, as the functions of handoff::giltrace. GIL: held.
extern "C" {

[[gnu::visibility("default")]] char const* giltrace_start(char const* output) {
    return failure_of([output] { handoff::giltrace::start(output); });
}

[[gnu::visibility("default")]] char const* giltrace_stop(bool with_summary) {
    using handoff::giltrace::summary;
    return failure_of(
        [=] { handoff::giltrace::stop(with_summary ? summary::on_stderr : summary::none); });
}

[[gnu::visibility("default")]] char const* giltrace_write(char const* recording,
                                                          char const* output) {
    return failure_of([=] { handoff::giltrace::write(recording, output); });
}
}
