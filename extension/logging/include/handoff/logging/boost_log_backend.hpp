// boost_log_backend: sends what is logged through Boost.Log to Python's logging. Needs Boost.Log.
#pragma once

#include <handoff/logging/log_sink.hpp>

#include <boost/log/attributes/attribute_name.hpp>
#include <boost/log/attributes/value_extraction.hpp>
#include <boost/log/core/record_view.hpp>
#include <boost/log/sinks/basic_sink_backend.hpp>
#include <boost/log/sinks/frontend_requirements.hpp>
#include <boost/log/trivial.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace handoff {

/// A Boost.Log sink backend over a log_sink.
///
///     namespace sinks = boost::log::sinks;
///     boost::log::core::get()->add_sink(
///         boost::make_shared<sinks::unlocked_sink<handoff::boost_log_backend>>(
///             boost::make_shared<handoff::boost_log_backend>(sink, "device")));
///
/// The record's logger is the attribute "Channel", a std::string. Without one, or if it is not
/// UTF-8 or has a null byte, it is the name that was given here. Its level is the attribute
/// "Severity", a boost::log::trivial::severity_level, or INFO. Its text is the text that the
/// frontend has formatted. Its time and thread are those of the call that feeds the backend, so use
/// a synchronous frontend.
///
/// GIL:     any; unchanged. Threads: any number at once.
class boost_log_backend : public boost::log::sinks::basic_formatted_sink_backend<
                              char, boost::log::sinks::concurrent_feeding> {
public:
    /// Throws: as log_sink::name().
    explicit boost_log_backend(log_sink to, std::string_view logger = {})
        : to_(std::move(to)), logger_(to_.name(logger)) {}

    void consume(boost::log::record_view const& record, string_type const& text) {
        namespace trivial = boost::log::trivial;
        auto const channel = boost::log::extract<std::string>(channel_, record);
        auto const severity = boost::log::extract<trivial::severity_level>(severity_, record);
        to_.write({.logger = channel ? to_.name_or(*channel, logger_) : logger_,
                   .level = severity ? level_of(*severity) : log_level::info,
                   .text = text});
    }

private:
    static log_level level_of(boost::log::trivial::severity_level severity) noexcept {
        switch (severity) {
            case boost::log::trivial::trace:
                return static_cast<log_level>(5);
            case boost::log::trivial::debug:
                return log_level::debug;
            case boost::log::trivial::info:
                return log_level::info;
            case boost::log::trivial::warning:
                return log_level::warning;
            case boost::log::trivial::error:
                return log_level::error;
            default:
                return log_level::critical;
        }
    }

    log_sink const to_;
    log_name const logger_;
    // Not by their text for each record: Boost.Log's table of names has a lock, and ends before the
    // last threads do.
    boost::log::attribute_name const channel_{"Channel"};
    boost::log::attribute_name const severity_{"Severity"};
};

}  // namespace handoff
