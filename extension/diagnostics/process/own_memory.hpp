// own_memory: reads an address of this process that may be unmapped by now.
#pragma once

#include <cstdint>

namespace handoff::detail {

/// The number of 32 bits that is there; 0: nothing is there, or the system does not say.
/// Threads: any. GIL: any; not touched. Source: process_vm_readv(2), which does not fault.
[[nodiscard]] int number_at(std::uintptr_t address) noexcept;

/// The same for a pointer.
[[nodiscard]] std::uintptr_t pointer_at(std::uintptr_t address) noexcept;

}  // namespace handoff::detail
