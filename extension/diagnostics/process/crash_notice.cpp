// crash_notice: a handler that lets the tools speak, and then makes the signal come again.
#include "crash_notice.hpp"

#include "standard_error.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string_view>
#include <sys/syscall.h>
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
                                                    {.number = SIGABRT, .name = "SIGABRT"},
                                                    {.number = SIGTERM, .name = "SIGTERM"}});
using speaker = void (*)(std::string_view signal) noexcept;
constinit std::array<std::atomic<speaker>, 2> speakers{};

/// After the return, the cause of a fault raises it again; a signal that was sent is sent again.
void on_fault(int number, siginfo_t* sent, void* /*context*/) {
    int const saved = errno;
    write_what_was_captured();
    auto const* const found = std::ranges::find(faults, number, &fault::number);
    for (auto const& each : speakers) {
        if (speaker const speak = each.load(std::memory_order_acquire)) {
            speak(found->name);
        }
    }
    sigaction(number, &found->before, nullptr);
    if (sent->si_code <= 0) {
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
    }
    errno = saved;
}

/// A handler is faulthandler's, which ends the process, or none. Others may continue: a virtual
/// machine's does. Source: CPython's Modules/faulthandler.c: it alone sets SA_NODEFER.
bool ends_the_process(struct sigaction const& found, loaded_object const& interpreter) noexcept {
    auto const flags = static_cast<unsigned>(found.sa_flags);
    return (flags & SA_SIGINFO) == 0 &&
           (found.sa_handler == SIG_DFL ||
            ((flags & SA_NODEFER) != 0 &&
             interpreter.contains(reinterpret_cast<void const*>(found.sa_handler))));
}

/// Returns: whether it is the first of all.
bool add(speaker speak) noexcept {
    for (auto& each : speakers) {
        speaker known = nullptr;
        if (each.compare_exchange_strong(known, speak)) {
            return &each == speakers.data();
        }
        if (known == speak) {
            return false;
        }
    }
    return false;
}

}  // namespace

void tell_of_crashes(loaded_object const& interpreter,
                     void (*speak)(std::string_view signal) noexcept) noexcept {
    if (!add(speak)) {
        return;
    }
    for (fault& each : faults) {
        if (sigaction(each.number, nullptr, &each.before) == 0 &&
            ends_the_process(each.before, interpreter)) {
            struct sigaction spoken{};
            spoken.sa_sigaction = &on_fault;
            spoken.sa_flags = SA_SIGINFO | SA_ONSTACK;
            sigaction(each.number, &spoken, nullptr);
        }
    }
}

void write_in_one_piece(std::initializer_list<std::string_view> parts) noexcept {
    std::array<char, 8192> text{};
    std::size_t used = 0;
    for (std::string_view const part : parts) {
        used += part.copy(text.data() + used, text.size() - used);
    }
    write_stderr({text.data(), used});
}

}  // namespace handoff::detail
