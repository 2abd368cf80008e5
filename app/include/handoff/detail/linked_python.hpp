// linked_python: which installed Python's static library is in the program.
#pragma once

namespace handoff::detail {

/// A Python's program as it was when ours was linked with its static library, which does not change
/// with it. Nothing where ours is linked with the shared library, which does.
class linked_python {
public:
    explicit constexpr linked_python(char const* program = nullptr, long long size = 0,
                                     long long modified = 0) noexcept
        : program_(program), size_(size), modified_(modified) {}

    /// Says on stderr that the installed Python is another now, and what to do, if it is. A
    /// program that is not there says nothing. It costs a stat().
    void say_if_another_is_installed() const;

private:
    char const* program_;  // its path
    long long size_;       // in bytes
    long long modified_;   // in seconds since 1970; packages keep it, also in a container
};

}  // namespace handoff::detail

// Where it is written, in the program's own code, decides: the libraries may have been built
// before.
#ifdef HANDOFF_LINKED_PYTHON
#define HANDOFF_PYTHON_OF_THIS_PROGRAM ::handoff::detail::linked_python(HANDOFF_LINKED_PYTHON)
#else
#define HANDOFF_PYTHON_OF_THIS_PROGRAM ::handoff::detail::linked_python()
#endif
