// linked_python: compared by size and time.
#include <handoff/detail/linked_python.hpp>

#include <cstdio>
#include <sys/stat.h>

namespace handoff::detail {

void linked_python::say_if_another_is_installed() const {
    struct stat now{};
    if (program_ == nullptr || stat(program_, &now) != 0 ||
        (now.st_size == size_ && now.st_mtime == modified_)) {
        return;
    }
    std::fprintf(
        stderr,
        "handoff: %s was updated after this program was built, which contains Python as it "
        "was before: without the update's fixes, and beside its new standard library. Build "
        "the program again (make), or with the shared libpython, which is updated with "
        "Python (-DHANDOFF_LIBPYTHON=shared)\n",
        program_);
}

}  // namespace handoff::detail
