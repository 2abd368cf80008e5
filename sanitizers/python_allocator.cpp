// Each of Python's objects an allocation of its own, which sanitizers and valgrind can watch.
//
// Python's allocator hands out parts of large blocks: what is used after it was freed goes unseen
// there, and what only a Python object refers to looks lost. PYTHONMALLOC=malloc would do, but -E
// and -I ignore it, and a script sees it in its environment.
#include <Python.h>

namespace {

[[maybe_unused]] bool const chosen_before_python_starts = [] {
    PyMemAllocatorEx malloc_itself;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &malloc_itself);
    PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &malloc_itself);
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &malloc_itself);
    return true;
}();

}  // namespace
