// called_by(): which function of another library a call instruction calls.
#pragma once

#include <string>

namespace handoff::detail {

/// The name of the function that the instruction before a return address calls through the
/// procedure linkage table, as the loader has it; not demangled. This function may have jumped to
/// one that has no name, and then it has no frame: on aarch64 glibc's read() and pthread_join() do.
/// Empty: it calls otherwise, or the call is not understood, which is so except on aarch64.
/// Threads: any. GIL: any; not touched.
/// Source: ELF for the Arm 64-bit Architecture (AAELF64); binutils' elfnn-aarch64.c.
[[nodiscard]] std::string called_by(void const* return_address);

}  // namespace handoff::detail
