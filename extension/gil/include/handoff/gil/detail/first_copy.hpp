// first_copy_of(): one variable for all copies of our code in a process.
#pragma once

namespace handoff::detail {

/// See first_copy_of().
[[nodiscard]] void* first_copy(void* ours) noexcept;

/// A static library is in a process as often as it is linked: in the program, in a module, in
/// another module. Of this variable, which each copy has, the one that was loaded first: the same
/// for all of them.
///
/// GCC's linker and loader make one of them all (STB_GNU_UNIQUE); Clang's do not for libraries that
/// are loaded with local scope, as Python loads its modules, nor do GCC's with -fno-gnu-unique.
///
/// REQUIRES: the variable has default visibility, and is initialised before any code runs
///           (constinit). Called as a static object of the copy is initialised: the loader's lock
///           is not to be waited for later, by a thread that may hold the GIL.
/// Returns:  `ours` where the program does not export it.
/// Source:   ELF's link map, in the order of loading: dlinfo(3), dlsym(3).
template <class T>
[[nodiscard]] T& first_copy_of(T& ours) noexcept {
    return *static_cast<T*>(first_copy(&ours));
}

}  // namespace handoff::detail
