// crash_notice: a handler that speaks, and lets the signal come again.
#include "crash_notice.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string_view>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace handoff::detail {

namespace {

/// A signal that ends a process, and what was to be done about it.
struct fault {
    int number;
    std::string_view name;
    struct sigaction before{};
};

constinit std::array faults = std::to_array<fault>({{.number = SIGSEGV, .name = "SIGSEGV"},
                                                    {.number = SIGBUS, .name = "SIGBUS"},
                                                    {.number = SIGFPE, .name = "SIGFPE"},
                                                    {.number = SIGILL, .name = "SIGILL"},
                                                    {.number = SIGABRT, .name = "SIGABRT"}});

using sentence = void (*)(std::string_view signal_name) noexcept;
constinit std::array<std::atomic<sentence>, 3> sentences{};  // of each tool one

/// What caused a fault does so again when this returns; what was sent is sent again.
void on_fault(int number, siginfo_t* sent, void* /*context*/) {
    int const saved = errno;
    auto const* const found = std::ranges::find(faults, number, &fault::number);
    for (auto const& each : sentences) {
        if (sentence const tell = each) {
            tell(found->name);
        }
    }
    sigaction(number, &found->before, nullptr);
    if (sent->si_code <= 0) {
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
    }
    errno = saved;
}

/// faulthandler's, which ends the process; or none. Others may go on: a virtual machine's does.
/// Source: CPython's Modules/faulthandler.c: it alone sets SA_NODEFER.
bool ends_the_process(struct sigaction const& found, loaded_object const& interpreter) noexcept {
    auto const flags = static_cast<unsigned>(found.sa_flags);
    return (flags & SA_SIGINFO) == 0 &&
           (found.sa_handler == SIG_DFL ||
            ((flags & SA_NODEFER) != 0 &&
             interpreter.contains(reinterpret_cast<void const*>(found.sa_handler))));
}

}  // namespace

void tell_of_crashes(loaded_object const& interpreter, sentence tell) noexcept {
    bool const is_first = sentences.front() == nullptr;
    for (auto& each : sentences) {
        if (each == tell) {
            return;
        }
        if (each == nullptr) {
            each = tell;
            break;
        }
    }
    for (fault& each : faults) {
        if (is_first && sigaction(each.number, nullptr, &each.before) == 0 &&
            ends_the_process(each.before, interpreter)) {
            struct sigaction spoken{};
            spoken.sa_sigaction = &on_fault;
            spoken.sa_flags = SA_SIGINFO | SA_ONSTACK;
            sigaction(each.number, &spoken, nullptr);
        }
    }
}

void say_at_once(std::initializer_list<std::string_view> parts) noexcept {
    std::array<iovec, 8> pieces{};
    std::size_t count = 0;
    for (std::string_view const part : parts) {
        if (count < pieces.size()) {
            // NOLINTNEXTLINE(cppcoreguidelines-pro-bounds-constant-array-index): just compared
            pieces[count++] = {.iov_base = const_cast<char*>(part.data()), .iov_len = part.size()};
        }
    }
    [[maybe_unused]] ssize_t const written =
        writev(STDERR_FILENO, pieces.data(), static_cast<int>(count));
}

}  // namespace handoff::detail
