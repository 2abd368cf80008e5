// uninterrupted_wait: by the numbers of the system calls, and by the time limits of their sockets.
// No memory is asked for by state_of().
#include "uninterrupted_wait.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <ios>
#include <string>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <utility>

namespace handoff::detail {

namespace {

using wait = uninterrupted_wait;

constexpr std::array known = std::to_array<std::pair<long, wait>>({
#ifdef SYS_pause  // the older ones, which newer architectures never had
    {SYS_pause, {.name = "pause", .waits = wait::for_a_signal}},
    {SYS_poll, {.name = "poll", .waits = wait::for_input_or_output}},
    {SYS_select, {.name = "select", .waits = wait::for_input_or_output}},
    {SYS_epoll_wait, {.name = "epoll_wait", .waits = wait::for_input_or_output}},
#endif
    {SYS_rt_sigsuspend, {.name = "sigsuspend", .waits = wait::for_a_signal}},
    {SYS_rt_sigtimedwait, {.name = "sigtimedwait", .waits = wait::for_a_signal}},
    {SYS_ppoll, {.name = "ppoll", .waits = wait::for_input_or_output}},
    {SYS_pselect6, {.name = "pselect", .waits = wait::for_input_or_output}},
    {SYS_epoll_pwait, {.name = "epoll_pwait", .waits = wait::for_input_or_output}},
    {SYS_io_getevents, {.name = "io_getevents", .waits = wait::for_input_or_output}},
    {SYS_msgrcv, {.name = "msgrcv", .waits = wait::for_input_or_output}},
    {SYS_msgsnd, {.name = "msgsnd", .waits = wait::for_input_or_output}},
    {SYS_nanosleep, {.name = "nanosleep", .waits = wait::for_a_time}},
    {SYS_clock_nanosleep, {.name = "clock_nanosleep", .waits = wait::for_a_time}},
    {SYS_semop, {.name = "semop", .waits = wait::for_input_or_output}},
    {SYS_semtimedop, {.name = "semtimedop", .waits = wait::for_input_or_output}},
#ifdef SYS_io_uring_enter
    {SYS_io_uring_enter, {.name = "io_uring_enter", .waits = wait::for_input_or_output}},
#endif
});

/// A call whose first argument is a descriptor, and which such a time limit of its socket
/// (SO_RCVTIMEO, SO_SNDTIMEO) makes one of those.
struct limited_call {
    long number;
    std::string_view name;
    int limit;
};
constexpr std::array limited = std::to_array<limited_call>({
    {.number = SYS_read, .name = "read", .limit = SO_RCVTIMEO},
    {.number = SYS_readv, .name = "readv", .limit = SO_RCVTIMEO},
    {.number = SYS_recvfrom, .name = "recv", .limit = SO_RCVTIMEO},
    {.number = SYS_recvmsg, .name = "recvmsg", .limit = SO_RCVTIMEO},
    {.number = SYS_recvmmsg, .name = "recvmmsg", .limit = SO_RCVTIMEO},
    {.number = SYS_accept, .name = "accept", .limit = SO_RCVTIMEO},
    {.number = SYS_accept4, .name = "accept4", .limit = SO_RCVTIMEO},
    {.number = SYS_connect, .name = "connect", .limit = SO_SNDTIMEO},
    {.number = SYS_write, .name = "write", .limit = SO_SNDTIMEO},
    {.number = SYS_writev, .name = "writev", .limit = SO_SNDTIMEO},
    {.number = SYS_sendto, .name = "send", .limit = SO_SNDTIMEO},
    {.number = SYS_sendmsg, .name = "sendmsg", .limit = SO_SNDTIMEO},
    {.number = SYS_sendmmsg, .name = "sendmmsg", .limit = SO_SNDTIMEO},
});

bool has_limit(int descriptor, int limit) noexcept {
    timeval given{};
    socklen_t size = sizeof given;
    return getsockopt(descriptor, SOL_SOCKET, limit, &given, &size) == 0 &&
           (given.tv_sec != 0 || given.tv_usec != 0);
}

}  // namespace

std::optional<uninterrupted_wait> uninterrupted_wait_of(pid_t thread) {
    long number = -1;  // "running" is none
    unsigned long first_argument = 0;
    std::ifstream("/proc/self/task/" + std::to_string(thread) + "/syscall") >> number >> std::hex >>
        first_argument;
    if (auto const* const found = std::ranges::find(known, number, &std::pair<long, wait>::first);
        found != known.end()) {
        return found->second;
    }
    auto const* const found = std::ranges::find(limited, number, &limited_call::number);
    return found != limited.end() && has_limit(static_cast<int>(first_argument), found->limit)
               ? std::optional(wait{.name = found->name, .waits = wait::for_input_or_output})
               : std::nullopt;
}

char state_of(pid_t thread) noexcept {
    std::array<char, 64> path{};  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    std::snprintf(path.data(), path.size(), "/proc/self/task/%d/stat", static_cast<int>(thread));
    int const file = open(path.data(), O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return 0;
    }
    std::array<char, 128> text{};  // the number, the name of up to 63 bytes, the state
    ssize_t const size = read(file, text.data(), text.size());
    close(file);
    std::string_view const said(text.data(), size < 0 ? 0 : static_cast<std::size_t>(size));
    auto const end_of_name = said.rfind(')');
    return end_of_name == std::string_view::npos || end_of_name + 2 >= said.size()
               ? char{}
               : said[end_of_name + 2];
}

}  // namespace handoff::detail
