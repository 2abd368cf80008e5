// has_several_threads(): whether the program, without the tools in it, has more than one thread.
#pragma once

namespace handoff::detail {

/// Now; the tools' own threads are left out. If the system does not say, it is true. Allocates
/// nothing, and locks nothing. Threads: any. GIL: any; not touched. Source: proc(5),
/// /proc/[pid]/task; getdents64(2).
[[nodiscard]] bool has_several_threads() noexcept;

}  // namespace handoff::detail
