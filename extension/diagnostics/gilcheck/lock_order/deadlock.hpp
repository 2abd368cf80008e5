// deadlock: what was found of locks, in words.
#pragma once

#include "held_locks.hpp"

#include <string>

namespace handoff::detail {

/// Whether it is reported for the first time: the same functions are named once, whichever locks
/// they took. Threads: any. Allocates nothing.
[[nodiscard]] bool is_new_finding(lock_finding const& found) noexcept;

/// Several lines; with colours where stderr is a terminal that shows them. Reads files, and starts
/// processes that do: not for a thread of the program's. GIL: any; not touched.
[[nodiscard]] std::string text_of(lock_finding const& found);
/// One line. Keys: tool, finding, happens, threads (of each: thread, holds, wants, at, python,
/// stack; of a thread that is joined, where it took the GIL first), what_to_do.
[[nodiscard]] std::string json_of(lock_finding const& found);

}  // namespace handoff::detail
