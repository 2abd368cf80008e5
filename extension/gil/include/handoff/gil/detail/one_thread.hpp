// made_here: in a debug build, reports a guard that another thread than its maker destroys.
#pragma once

#include <handoff/gil/detail/assertion.hpp>

/// Marks a guard. In a debug build it remembers its thread, and so has another layout. There it is
/// another type to the linker, so that debug and release builds may be linked into one process.
#ifdef NDEBUG
#define HANDOFF_OF_ONE_THREAD
#else
#define HANDOFF_OF_ONE_THREAD [[gnu::abi_tag("checked")]]

#include <atomic>
#include <string>
#endif

namespace handoff::detail {

#ifdef NDEBUG

/// Does nothing: it takes no room ([[no_unique_address]]) and no time.
class made_here {
public:
    void assert_still_here(char const* /*guard*/) const noexcept {}
};

#else

/// The calling thread's number. No number is used twice, unlike addresses, pthread_t and tid.
/// Default visibility: a host and the modules that it loads count together.
[[gnu::visibility("default")]] inline unsigned long number_of_this_thread() noexcept {
    static constinit std::atomic<unsigned long> last = 0;
    static thread_local unsigned long const number = ++last;
    return number;
}

class HANDOFF_OF_ONE_THREAD made_here {
public:
    void assert_still_here(char const* guard) const noexcept {
        if (number_of_this_thread() != maker_) {
            rule_broken(std::string("destroying a ")
                            .append(guard)
                            .append(" on another thread than the one that made it"),
                        "it restores what it found on the thread that made it, where it was: the "
                        "GIL, or a thread state, stays with that thread",
                        "let its scope end on the thread where it began (in a coroutine: before a "
                        "co_await that may be resumed elsewhere), and make another one afterwards");
        }
    }

private:
    unsigned long maker_ = number_of_this_thread();
};

#endif

}  // namespace handoff::detail
