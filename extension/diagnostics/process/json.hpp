// json: texts in JSON's form.
#pragma once

#include <string>
#include <string_view>

namespace handoff::detail {

/// With its quotes. What is not UTF-8 is replaced by U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);

}  // namespace handoff::detail
