// redirection: sends what Python writes to one of its streams to a function of the application.
#pragma once

#include <functional>
#include <string_view>

namespace handoff::redirection {

/// Replaces sys.stdout or sys.stderr, and the one with underscores, by a text stream for that
/// function; does nothing if it is empty.
/// GIL:    held. Throws: boost::python::error_already_set.
void to(char const* stream, std::function<void(std::string_view)> const& function);

}  // namespace handoff::redirection
