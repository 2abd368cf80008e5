// report_left_error(): an error that is still set when a hold ends does not reach the next hold.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff::detail {

/// How many gil_release of the calling thread have released the GIL and are in scope. Default
/// visibility: a host and the modules that it loads count together.
[[gnu::visibility("default")]] inline constinit thread_local unsigned releases_in_scope = 0;

/// Whether an error is set. GIL: held, with this state.
[[nodiscard]] inline bool has_error(PyThreadState const* own) noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    return own->current_exception != nullptr;
#else
    return own->curexc_type != nullptr;
#endif
}

/// Reports the error that is set to sys.unraisablehook and clears it, unless a caller can still
/// handle it: Python code, or a holder of the GIL, that called the code of this hold.
///
/// GIL: held; sys.unraisablehook runs.
[[gnu::visibility("default"), gnu::cold]] void report_left_error() noexcept;

}  // namespace handoff::detail
