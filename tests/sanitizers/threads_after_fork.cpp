// Lets a forked child start threads under GCC 12's ThreadSanitizer.
//
// There a thread of the child that is given the memory of one of the parent's threads has its
// pthread_t, and ends the process: "dup thread with used id". A child that asks for a larger stack
// is given fresh memory. Source: llvm's ThreadRegistry::OnFork, which GCC has from 13 on.
#include <cstddef>
#include <pthread.h>
#include <unistd.h>

namespace {

void ask_for_larger_stacks() {
    pthread_attr_t threads;
    std::size_t size = 0;
    pthread_getattr_default_np(&threads);
    pthread_attr_getstacksize(&threads, &size);
    pthread_attr_setstacksize(&threads, size + static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
    pthread_setattr_default_np(&threads);
    pthread_attr_destroy(&threads);
}

[[maybe_unused]] int const done_in_every_child =
    pthread_atfork(nullptr, nullptr, &ask_for_larger_stacks);

}  // namespace
