// deadlock: describes a finding about locks in words.
#pragma once

#include "finding_rules.hpp"
#include "held_locks.hpp"

#include <string>

namespace handoff::detail {

/// Whether it is reported for the first time: the same functions are reported once, for whichever
/// locks. Threads: any. Allocates nothing.
[[nodiscard]] bool is_new_finding(lock_finding const& found) noexcept;

/// For a deadlock that happens: finds where each of its threads is now, if the thread answers;
/// otherwise its place is unchanged. Asks them with a signal, as gilwatch does. Not for a thread of
/// the program.
void ask_where_they_are(lock_finding& found);

/// What no longer fits, and what to do: a line of text, or of JSON. Keys: tool, note,
/// of, kept, what_is_lost, what_to_do.
[[nodiscard]] std::string text_of(lost_room what);
[[nodiscard]] std::string json_of(lost_room what);

/// What identifies it. As text_of().
[[nodiscard]] finding_facts facts_of(lock_finding const& found);
/// Several lines; with colours if the terminal shows them. Reads files, and starts
/// processes that do: not for a thread of the program. GIL: any; not touched.
[[nodiscard]] std::string text_of(lock_finding const& found);
/// One line. Keys: tool, finding, happens, threads (for each: thread, holds, wants, at, python,
/// stack; for a thread that is joined or signals, where it took the GIL first, has_taken_it times,
/// first_taken_before so many seconds), what_to_do.
[[nodiscard]] std::string json_of(lock_finding const& found);

}  // namespace handoff::detail
