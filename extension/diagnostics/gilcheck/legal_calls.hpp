// legal_calls: which Python functions may be called without the GIL.
#pragma once

#include <string_view>

namespace handoff::detail {

/// Whether a function that CPython 3.11 to 3.15 export needs no attached thread state, according to
/// its documentation, or because it touches neither objects nor an interpreter.
[[nodiscard]] bool is_legal_without_gil(std::string_view name) noexcept;

}  // namespace handoff::detail
