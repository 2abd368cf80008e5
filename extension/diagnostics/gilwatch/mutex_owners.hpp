// mutex_owners: which thread has locked the mutex that another waits for.
#pragma once

#include <map>
#include <sys/types.h>

namespace handoff::detail {

/// Of the threads of this process that wait in the system, by their numbers, who owns what they
/// wait for, if that is a pthread_mutex_t; if it is not, the number is none. Who is not in it,
/// waits for nothing of the kind, or for what nobody owns. GIL: any; not touched. Source: proc(5),
/// /proc/[pid]/syscall; futex(2); glibc's sysdeps/nptl/bits/struct_mutex.h: behind
///         the word that a thread waits at, and a count, is the owner's number.
[[nodiscard]] std::map<pid_t, pid_t> mutex_owners();

}  // namespace handoff::detail
