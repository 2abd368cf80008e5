// log_sink: its copies share a queue, which the last copy closes.
#include "log_queue.hpp"
#include <handoff/logging/log_sink.hpp>

#include <stdexcept>
#include <string>

namespace handoff {

log_sink::log_sink() : log_sink(options()) {}

log_sink::log_sink(options chosen)
    : queue_(std::make_shared<detail::log_queue>(chosen)),
      threshold_(&queue_->lowest_level),
      last_copy_(queue_.get(), [queue = queue_](void*) { queue->close(); }) {}

bool log_sink::open() const noexcept { return queue_->open(); }

log_name log_sink::name(std::string_view of_logger) const { return queue_->name(of_logger); }

log_name log_sink::name_or(std::string_view of_logger, log_name otherwise) const noexcept {
    return queue_->name_or(of_logger, otherwise);
}

pushed log_sink::queue_record(log_entry const& entry) const noexcept {
    return queue_->write(entry);
}

pushed log_sink::write_to_stdout(std::string_view text) const noexcept {
    return queue_->write_text("stdout", text);
}

pushed log_sink::write_to_stderr(std::string_view text) const noexcept {
    return queue_->write_text("stderr", text);
}

void log_sink::set_level(log_level lowest) const {
    queue_->lowest_level = static_cast<int>(log_level_from(static_cast<int>(lowest)));
}

bool log_sink::follow_python_levels() const noexcept { return queue_->follow_python_levels(); }

bool log_sink::flush(std::chrono::nanoseconds at_most) const { return queue_->flush(at_most); }

log_counts log_sink::counts() const noexcept { return queue_->counts(); }

}  // namespace handoff
