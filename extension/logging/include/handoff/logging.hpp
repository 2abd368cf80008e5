// The logging of native threads: the sink, its levels, and the logger.
#pragma once

#include <handoff/logging/log_level.hpp>
#include <handoff/logging/log_sink.hpp>
#include <handoff/logging/logger.hpp>
