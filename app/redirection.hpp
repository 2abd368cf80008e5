// redirection: what Python writes to one of its streams goes to a function of the application's.
#pragma once

#include <functional>
#include <string_view>

namespace handoff::redirection {

/// Makes sys.stdout or sys.stderr, and the one with underscores, a text stream of that function's;
/// nothing, where it is empty.
/// GIL:    held. Throws: boost::python::error_already_set.
void to(char const* stream, std::function<void(std::string_view)> const& function);

}  // namespace handoff::redirection
