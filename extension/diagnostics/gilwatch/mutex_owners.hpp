// mutex_owners: which thread has locked the mutex that another waits for.
#pragma once

#include <map>
#include <sys/types.h>

namespace handoff::detail {

/// For the threads of this process that wait in the system: the owner's number for each one that
/// waits for a pthread_mutex_t. If it waits for something else, the number is meaningless. A thread
/// that is not in the result waits for nothing of the kind, or for a mutex without an owner.
/// GIL:    any; not touched.
/// Source: proc(5), /proc/[pid]/syscall; futex(2); glibc's sysdeps/nptl/bits/struct_mutex.h: the
///         owner's number follows the word that a thread waits at, and a count.
[[nodiscard]] std::map<pid_t, pid_t> mutex_owners();

}  // namespace handoff::detail
