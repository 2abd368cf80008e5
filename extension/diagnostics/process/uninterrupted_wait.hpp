// What the system says of a thread: its state, and the waits that a tool must not end by looking.
#pragma once

#include <optional>
#include <string_view>
#include <sys/types.h>

namespace handoff::detail {

/// A system call that any signal's handler ends, with EINTR, also where SA_RESTART is set.
struct uninterrupted_wait {
    enum kind { for_a_signal, for_input_or_output, for_a_time };
    std::string_view name;  // as the system's manual has it
    kind waits{};
};

/// The one that a thread of this process is in now; nothing: it is in none, or the system does not
/// say. When this returns, it may be over, or another may have begun. GIL: any; not touched.
/// Source: proc(5), /proc/[pid]/syscall; signal(7), "Interruption of system calls".
[[nodiscard]] std::optional<uninterrupted_wait> uninterrupted_wait_of(pid_t thread);

/// The state of a thread of this process, a letter: R if it runs or could, S if it sleeps in a
/// system call, D if nothing can wake it but the call's end; 0: there is no such thread. GIL: any;
/// not touched. Source: proc(5), /proc/[pid]/stat, the third field.
[[nodiscard]] char state_of(pid_t thread) noexcept;

}  // namespace handoff::detail
