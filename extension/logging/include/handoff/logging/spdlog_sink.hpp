// spdlog_sink: sends what is logged through spdlog to Python's logging. Needs spdlog.
#pragma once

#include <handoff/logging/log_sink.hpp>

#include <functional>
#include <map>
#include <mutex>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <string>
#include <string_view>
#include <utility>

namespace handoff {

/// An spdlog sink over a log_sink.
///
///     spdlog::default_logger()->sinks().push_back(std::make_shared<handoff::spdlog_sink_mt>(sink));
///
/// The record has spdlog's logger name (the root logger, if it is not UTF-8 or has a null byte),
/// level, time, thread and place (of the SPDLOG_INFO macros). Its text is only the message, because
/// Python formats the rest. Level trace is Python's 5. spdlog calls the sink with its own lock
/// held, so use a log_sink that drops, not one that blocks. spdlog's flush does nothing: everything
/// was passed on before.
///
/// GIL:     any; unchanged. Threads: as spdlog's sinks.
template <class Mutex>
class basic_spdlog_sink final : public spdlog::sinks::base_sink<Mutex> {
public:
    explicit basic_spdlog_sink(log_sink to) : to_(std::move(to)) {}

protected:
    void sink_it_(spdlog::details::log_msg const& message) override {
        to_.write({.logger = name_of({message.logger_name.data(), message.logger_name.size()}),
                   .level = level_of(message.level),
                   .text = {message.payload.data(), message.payload.size()},
                   .file = message.source.filename != nullptr ? message.source.filename : "",
                   .line = static_cast<unsigned>(message.source.line),
                   .function = message.source.funcname != nullptr ? message.source.funcname : "",
                   .time = std::chrono::time_point_cast<std::chrono::system_clock::duration>(
                       message.time),
                   .native_id = static_cast<pid_t>(message.thread_id)});
    }
    void flush_() override {}

private:
    static log_level level_of(spdlog::level::level_enum level) noexcept {
        switch (level) {
            case spdlog::level::trace:
                return static_cast<log_level>(5);
            case spdlog::level::debug:
                return log_level::debug;
            case spdlog::level::info:
                return log_level::info;
            case spdlog::level::warn:
                return log_level::warning;
            case spdlog::level::err:
                return log_level::error;
            default:
                return log_level::critical;
        }
    }

    log_name name_of(std::string_view logger) {
        auto found = names_.find(logger);
        if (found == names_.end()) {
            found = names_.emplace(std::string(logger), to_.name_or(logger, otherwise_)).first;
        }
        return found->second;
    }

    log_sink const to_;
    log_name const otherwise_ = to_.name({});
    std::map<std::string, log_name, std::less<>> names_;  // guarded by the sink's lock
};

using spdlog_sink_mt = basic_spdlog_sink<std::mutex>;
using spdlog_sink_st = basic_spdlog_sink<spdlog::details::null_mutex>;

}  // namespace handoff
