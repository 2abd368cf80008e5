// is_finalizing(): whether Python's end has come, in which no other thread gets the GIL any more.
#pragma once

#include <handoff/gil/python.hpp>

namespace handoff::detail {

/// GIL: any. Where it is held, the caller is the thread that finalizes, and the answer stays so.
[[nodiscard]] inline bool is_finalizing() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

}  // namespace handoff::detail
