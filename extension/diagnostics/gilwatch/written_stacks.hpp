// written_stacks: explains stacks of another process that another program has read and written.
#pragma once

#include <string>
#include <string_view>

namespace handoff::detail {

/// The diagnosis of threads that are written one field behind the other, with tabs between:
///     thread  ID  IS_MAIN  HOLDS_THE_GIL  WAITS_FOR_IT  MUTEX_OWNER  NAME
///     frame   OFFSET  IS_IN_THE_INTERPRETERS_FILE  FILE  SOURCE:LINE  FUNCTION
///     python  a line of its Python stack, as faulthandler writes it
///     crash   THREAD  SENDER  SIGNAL  ADDRESS
/// A thread's frames and lines follow it, the innermost first. What is not known is empty, or the
/// number 0; a flag is 0 or 1; a signal that no process sent has the sender -1. A crash is that of
/// which a process ended. Other lines are passed over. GIL: any; not touched.
[[nodiscard]] std::string diagnosis_of_written(std::string_view stacks);

}  // namespace handoff::detail
