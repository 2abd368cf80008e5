// kept_records: a handler of Python's logging that keeps what it gets, and a sink that is open.
#pragma once

#include <handoff/interpreter.hpp>
#include <handoff/logging/log_sink.hpp>

#include <boost/python/errors.hpp>

namespace handoff::tests {

/// In Python: records are in `kept`, whatever their level and logger.
inline constexpr char const* keep_records = R"(
import logging
class Keep(logging.Handler):
    def emit(self, record):
        kept.append(record)
kept = []
logging.getLogger().addHandler(Keep())
logging.getLogger().setLevel(1)
)";

inline void open(interpreter& python, log_sink const& sink) {
    python.invoke([&] {
        if (!sink.open()) {
            throw boost::python::error_already_set();
        }
    });
}

}  // namespace handoff::tests
