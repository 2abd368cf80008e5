// mutex_owners: by the arguments of the system call that each thread is in.
#include "mutex_owners.hpp"

#include "own_memory.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <linux/futex.h>
#include <string>
#include <sys/syscall.h>
#include <system_error>

namespace handoff::detail {

namespace {

constexpr std::uintptr_t place_of_owner = 8;  // bytes

/// 0: none is known.
pid_t owner_awaited_by(std::filesystem::path const& thread) {
    std::ifstream call(thread / "syscall");
    long number = -1;  // "running" is none
    std::uintptr_t address = 0;
    std::uintptr_t operation = 0;
    call >> number >> std::hex >> address >> operation;
    // The owner may be in another process, and may have another number here.
    bool const is_private = (operation & FUTEX_PRIVATE_FLAG) != 0;
    return call && number == SYS_futex && is_private ? number_at(address + place_of_owner) : 0;
}

}  // namespace

std::map<pid_t, pid_t> mutex_owners() {
    std::map<pid_t, pid_t> owners;
    std::error_code gone;
    for (auto const& entry : std::filesystem::directory_iterator("/proc/self/task", gone)) {
        if (pid_t const owner = owner_awaited_by(entry.path()); owner != 0) {
            owners.emplace(std::stoi(entry.path().filename().string()), owner);
        }
    }
    return owners;
}

}  // namespace handoff::detail
