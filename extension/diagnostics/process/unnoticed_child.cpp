// output_of_child(): by clone(), with an anonymous file for what the child writes.
#include "unnoticed_child.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace handoff::detail {

namespace {

constexpr std::size_t stack_size = 256UL * 1024;

struct child {
    void (*work)(void*);
    void* with;
    int output;
};

/// Its stack is unknown to AddressSanitizer.
[[gnu::no_sanitize_address]] int begin(void* given) {
    auto const& self = *static_cast<child const*>(given);
    if (self.output == STDOUT_FILENO) {
        fcntl(self.output, F_SETFD, 0);
    } else {
        dup2(self.output, STDOUT_FILENO);
    }
    // Signals that reach the program's handlers although blocked, and a grandchild's SIGCHLD.
    for (int const number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGCHLD}) {
        struct sigaction plain{};
        plain.sa_handler = SIG_DFL;
        sigaction(number, &plain, nullptr);
    }
    self.work(self.with);
    return 0;  // ends it, without any code between the program and _exit()
}

std::string content_of(int file) {
    struct stat its{};
    if (fstat(file, &its) != 0) {
        return {};
    }
    std::string text(static_cast<std::size_t>(its.st_size), '\0');
    auto const length = pread(file, text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(length > 0 ? length : 0));
    return text;
}

}  // namespace

std::string output_of_child(void (*work)(void*), void* with) {
    int const output = memfd_create("handoff", MFD_CLOEXEC);
    void* const stack = mmap(nullptr, stack_size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    std::string text;
    if (output >= 0 && stack != MAP_FAILED) {
        child made{.work = work, .with = with, .output = output};
        sigset_t all;
        sigset_t former;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &former);
        auto const start = [&](int signal_of_end) {
            // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): clone's own
            return clone(&begin, static_cast<std::byte*>(stack) + stack_size, signal_of_end, &made);
        };
        pid_t id = start(0);
        if (id < 0 && errno == EINVAL) {  // qemu makes no child without a signal
            id = start(SIGCHLD);
        }
        pthread_sigmask(SIG_SETMASK, &former, nullptr);
        while (id > 0 && waitpid(id, nullptr, __WALL) < 0 && errno == EINTR) {
        }
        text = id > 0 ? content_of(output) : std::string();
    }
    if (stack != MAP_FAILED) {
        munmap(stack, stack_size);
    }
    if (output >= 0) {
        close(output);
    }
    return text;
}

}  // namespace handoff::detail
