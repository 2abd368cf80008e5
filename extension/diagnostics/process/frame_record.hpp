// frame_record(): where a function that keeps a frame pointer has saved its caller's.
#pragma once

#include <cstdint>
#include <span>

namespace handoff::detail {

struct address_range {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;

    [[nodiscard]] bool contains(std::uintptr_t address) const noexcept {
        return begin <= address && address < end;
    }
};

#if defined(__x86_64__)
/// The frame pointer of the function that contains `instruction`: the address of its record in the
/// stack. A record is the caller's frame pointer, which is the address of a record further out, and
/// the return address. Between the record and the stack pointer there may be old records: only one
/// that a call of this function has made is used.
///
/// instruction:   where the function continues when the call returns.
/// stack_pointer: the function's, then.
/// code:          what may be executed.
/// Returns:       0 if there is none: the function keeps no frame pointer, or in its own form.
/// Threads:       one that may crash, such as a child's that reads a copy of the stack.
/// Source:        System V ABI for x86-64, "The Stack Frame".
[[nodiscard]] std::uintptr_t frame_record(address_range const& stack,
                                          std::span<address_range const> code,
                                          std::uintptr_t instruction,
                                          std::uintptr_t stack_pointer) noexcept;
#endif

}  // namespace handoff::detail
