// walk_stack(): where the calling thread is, and how many frames are left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace handoff::detail {

/// How much of a stack was taken.
struct walked_stack {
    std::size_t taken = 0;     // frames
    std::size_t left_out = 0;  // frames further out, counted up to most_left_out
};

/// For a deeper stack, for example of an endless recursion, the count would take too long.
inline constexpr std::size_t most_left_out = 10'000;  // frames

/// Writes the calling thread's return addresses, the innermost first, as many as there is room for;
/// for a frame which a signal interrupted, the instruction itself.
/// Signals: may be called in a handler, like backtrace(), if it was called elsewhere before.
/// Source:  glibc's backtrace() does the same: _Unwind_Backtrace().
[[nodiscard]] walked_stack walk_stack(std::span<void*> to) noexcept;

/// The same, but each frame is reported when it is found, up to 100: what is further out may be no
/// stack. With it comes the stack pointer that the frame has at its call.
void walk_stack(void (*tell)(void* frame, std::uintptr_t stack_pointer)) noexcept;

}  // namespace handoff::detail
