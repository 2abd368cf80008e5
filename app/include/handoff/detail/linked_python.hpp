// linked_python: which installed Python's static library the program contains.
#pragma once

namespace handoff::detail {

/// Remembers the installed Python at the time when the program was linked with its static library,
/// which is not updated with it. Empty if the program is linked with the shared library, which is.
class linked_python {
public:
    explicit constexpr linked_python(char const* program = nullptr, long long size = 0,
                                     long long modified = 0) noexcept
        : program_(program), size_(size), modified_(modified) {}

    /// If the installed Python has been updated since, says so on stderr, and what to do. If it is
    /// not installed, says nothing. It costs a stat().
    void say_if_another_is_installed() const;

private:
    char const* program_;  // its path
    long long size_;       // in bytes
    long long modified_;   // in seconds since 1970; packages keep it, also in a container
};

}  // namespace handoff::detail

// This is decided where it is written, in the program's own code, because the libraries may have
// been built before.
#ifdef HANDOFF_LINKED_PYTHON
#define HANDOFF_PYTHON_OF_THIS_PROGRAM ::handoff::detail::linked_python(HANDOFF_LINKED_PYTHON)
#else
#define HANDOFF_PYTHON_OF_THIS_PROGRAM ::handoff::detail::linked_python()
#endif
