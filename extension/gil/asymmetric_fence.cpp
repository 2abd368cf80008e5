// asymmetric_fence: calls membarrier(), for which the C library has no function.
#include <handoff/gil/detail/asymmetric_fence.hpp>

#include <chrono>
#include <linux/membarrier.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace handoff::detail {

namespace {

long membarrier(int command) noexcept { return syscall(SYS_membarrier, command, 0, 0); }

}  // namespace

void prepare_to_fence_others() noexcept {
    long const known = membarrier(MEMBARRIER_CMD_QUERY);
    auto const commands = known > 0 ? static_cast<unsigned long>(known) : 0;  // -1: not supported
    others_can_be_fenced = (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0;
    // Costs nothing now; with several threads it would cost a grace period of the kernel.
    if (others_can_be_fenced && __libc_single_threaded != 0) {
        membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    }
}

void fence_others() noexcept {
    if (!others_can_be_fenced || membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) {
        return;
    }
    membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) {
        return;
    }
    // A seccomp filter has forbidden it since: from now on each thread fences its own stores.
    // Earlier stores are visible to all threads within microseconds.
    others_can_be_fenced = false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

}  // namespace handoff::detail
