// first_copy_of(): one variable for all copies of Handoff's code in a process.
#pragma once

namespace handoff::detail {

/// See first_copy_of().
[[nodiscard]] void* first_copy(void* ours) noexcept;

/// A static library is in a process once for each file that links it: the program, a module,
/// another module. Each copy has this variable. Returns the one that was loaded first, which is the
/// same for all copies.
///
/// GCC's linker and loader merge these variables into one (STB_GNU_UNIQUE). Clang's do not for
/// libraries that are loaded with local scope, as Python loads its modules; GCC's do not with
/// -fno-gnu-unique.
///
/// REQUIRES: the variable has default visibility, and is initialised before any code runs
///           (constinit). Call it while a static object of the copy is initialised: later, a thread
///           that may hold the GIL must not wait for the loader's lock.
/// Returns:  `ours` if the program does not export the variable.
/// Source:   ELF's link map, in the order of loading: dlinfo(3), dlsym(3).
template <class T>
[[nodiscard]] T& first_copy_of(T& ours) noexcept {
    return *static_cast<T*>(first_copy(&ours));
}

}  // namespace handoff::detail
