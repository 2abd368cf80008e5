// Each of Python's objects an allocation of its own, which sanitizers and valgrind can watch.
//
// Python's allocator hands out parts of large blocks: what is used after it was freed goes unseen
// there, and what only a Python object refers to looks lost. PYTHONMALLOC=malloc would do, but -E
// and -I ignore it, and a script sees it in its environment.
//
// A free-threaded Python keeps its own: its garbage collector finds the objects in the allocator's
// memory. Source: docs.python.org, c-api/memory.html, "The mimalloc allocator".
#include <Python.h>

#ifndef Py_GIL_DISABLED

#include <cstdlib>

namespace {

[[maybe_unused]] bool const chosen_before_python_starts = [] {
    PyMemAllocatorEx plain;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &plain);  // malloc and its like
    // Cleared: a zero of CPython 3.11 reads a digit that it does not have, which memcheck would
    // follow through all that is computed from it. Source: cpython #102509.
    plain.malloc = [](void*, std::size_t size) { return std::calloc(1, size > 0 ? size : 1); };
    PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &plain);
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &plain);
    return true;
}();

}  // namespace

#endif
