// is_finalizing(): whether Python is ending, so that no other thread gets the GIL any more.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff::detail {

/// GIL: any. If it is held, the caller is the thread that finalizes, and the answer does not
///      change.
[[nodiscard]] inline bool is_finalizing() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

}  // namespace handoff::detail
