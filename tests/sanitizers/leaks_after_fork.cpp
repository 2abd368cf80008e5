// Has memcheck look for no leak in a forked child: what the stacks of the parent's other threads
// referred to, it would call lost.
#include <pthread.h>
#include <valgrind/valgrind.h>

namespace {

[[maybe_unused]] int const done_in_every_child =
    pthread_atfork(nullptr, nullptr, [] { VALGRIND_CLO_CHANGE("--leak-check=no"); });

}  // namespace
