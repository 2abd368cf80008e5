// crash_notice: a handler that speaks, and lets the signal come again.
#include "crash_notice.hpp"

#include "standard_error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
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
                                                    {.number = SIGABRT, .name = "SIGABRT"}});
using question = bool (*)() noexcept;
constinit question is_worth_a_sentence = nullptr;

constexpr std::string_view beginning = "gilcheck: the program dies of ";
constexpr std::string_view end =
    ", and nothing was reported: if a thread counts references (Py_INCREF, Py_DECREF) without the "
    "GIL, that is seen only in modules that were compiled with $(gilcheck --includes) -include "
    "handoff/gilcheck_inline.h\n";

/// In one piece, as another thread may die at the same time.
void tell(std::string_view signal_name) noexcept {
    std::array<char, 512> text{};
    static_assert(beginning.size() + end.size() + std::string_view("SIGABRT").size() < text.size());
    char* last = text.data();
    for (std::string_view const part : {beginning, signal_name, end}) {
        last = std::ranges::copy(part, last).out;
    }
    write_stderr({text.data(), last});
}

/// What caused a fault does so again when this returns; what was sent is sent again.
void on_fault(int number, siginfo_t* sent, void* /*context*/) {
    int const saved = errno;
    auto const* const found = std::ranges::find(faults, number, &fault::number);
    if (is_worth_a_sentence()) {
        tell(found->name);
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

void tell_of_crashes(loaded_object const& interpreter, bool (*is_worth_it)() noexcept) noexcept {
    is_worth_a_sentence = is_worth_it;
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

}  // namespace handoff::detail
