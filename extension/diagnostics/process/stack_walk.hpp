// walk_stack(): where the calling thread is, and how much of that is left out.
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

/// Of a stack that is deeper, as of an endless recursion, nobody waits for the count.
inline constexpr std::size_t most_left_out = 10'000;  // frames

/// Writes the calling thread's return addresses, the innermost first, as many as have room; that of
/// a frame which a signal interrupted is the instruction itself.
/// Signals: may be called in a handler, as backtrace() may, once it was called elsewhere.
/// Source:  what glibc's backtrace() does: _Unwind_Backtrace().
[[nodiscard]] walked_stack walk_stack(std::span<void*> to) noexcept;

/// The same, each as soon as it is known, up to 100 of them: what is further out may be no stack.
/// With it comes the stack pointer that the frame has, at the call in which it is.
void walk_stack(void (*tell)(void* frame, std::uintptr_t stack_pointer)) noexcept;

}  // namespace handoff::detail
