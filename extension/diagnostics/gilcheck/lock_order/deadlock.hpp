// deadlock: what was found of locks, in words.
#pragma once

#include "finding_rules.hpp"
#include "held_locks.hpp"

#include <string>

namespace handoff::detail {

/// Whether it is reported for the first time: the same functions are named once, whichever locks
/// they took. Threads: any. Allocates nothing.
[[nodiscard]] bool is_new_finding(lock_finding const& found) noexcept;

/// What it is known by. As text_of().
[[nodiscard]] finding_facts facts_of(lock_finding const& found);
/// Several lines; with colours where they are shown. Reads files, and starts
/// processes that do: not for a thread of the program's. GIL: any; not touched.
[[nodiscard]] std::string text_of(lock_finding const& found);
/// One line. Keys: tool, finding, happens, threads (of each: thread, holds, wants, at, python,
/// stack; of a thread that is joined, where it took the GIL first), what_to_do.
[[nodiscard]] std::string json_of(lock_finding const& found);

}  // namespace handoff::detail
