// log_sink: native threads log into it without the GIL, and Python's logging gets their records.
#pragma once

#include <handoff/channel.hpp>
#include <handoff/logging/log_level.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace handoff {

namespace detail {
class log_queue;
}

/// A logger's name, as a log_sink stores it: see log_sink::name(). It is valid as long as any copy
/// of the sink.
class log_name {
public:
    [[nodiscard]] std::string const& text() const noexcept { return *text_; }

private:
    friend class detail::log_queue;
    explicit log_name(std::string const& kept) noexcept : text_(&kept) {}

    std::string const* text_;
};

/// What a thread logs. Its text is copied by log_sink::write().
struct log_entry {
    log_name logger;
    log_level level;
    std::string_view text;  // UTF-8; any other byte appears as \xff
    // The place: both strings have static storage, as those of std::source_location have.
    char const* file = "";
    unsigned line = 0;
    char const* function = "";
    // The time; the default: now.
    std::chrono::system_clock::time_point time{};
    // The kernel's number of the thread; the default: the calling thread.
    pid_t native_id = 0;
};

/// How many records of a sink were delivered, dropped and so on.
struct log_counts {
    std::uint64_t delivered = 0;  // passed to Python's logging, which filters them
    std::uint64_t dropped = 0;    // the queue was full, or there was no memory
    std::uint64_t recursive = 0;  // dropped: logged while a handler's record is handled
    std::uint64_t refused = 0;  // written after the end
    std::uint64_t raised = 0;  // delivered, but a filter or a handler raised
    std::size_t waiting = 0;  // accepted, and not completely delivered yet
};

/// A bounded queue of records. Any thread writes. One thread of the sink delivers the records to
/// Python's logging, many in one hold of the GIL.
///
///     handoff::log_sink sink;                          // Python need not have started
///     handoff::logger const log(sink, "device.reader");
///     ...
///     if (!sink.open()) return nullptr;                // in a module's init function
///     ...
///     log.warning("late frame");                       // any thread, with or without the GIL
///
/// Overview
///   write() copies the record into the queue, with its time, thread and place, and returns. The
///   delivering thread makes a logging.LogRecord from it with the logger's makeRecord(), and passes
///   it to the logger's handle(): levels, filters, handlers and propagation are Python's own.
///
///     the sink is   write()                          Python gets
///     new           queues                           nothing yet
///     open          queues                           each record, in the order of the writes
///     closed        refuses, and counts              what was written before
///
/// When it is full
///   drop_oldest and refuse never wait. They may be used with any lock held. block waits for room,
///   for `patience` at most, and releases the GIL meanwhile if the caller holds it. The caller must
///   then hold no lock for which a holder of the GIL might wait. The number of dropped records is
///   logged as a WARNING of logger "handoff.logging", once per burst.
///
/// Life
///   Copies are the same sink; one that was moved from may only be assigned to or destroyed. open()
///   registers an `atexit` function, which closes the sink and waits until everything is delivered,
///   before logging.shutdown() and before the gate closes. If the last copy is destroyed earlier,
///   all written records are still delivered. In the child of os.fork() the queue is empty and
///   open: only the parent delivers what the parent logged, and the child delivers what the child
///   logs. In the child of a fork() that Python does not know about, the sink is closed.
///
/// Handlers that log
///   A record that a handler logs in the delivering thread is delivered, too. But a record that is
///   logged while such a record is handled is dropped, and counted: otherwise each record would
///   make another.
///
/// GIL:     any, unchanged, unless a member says otherwise. Only open() and
///          follow_python_levels() need it.
/// Threads: any.
class log_sink {
public:
    struct options {
        std::ptrdiff_t capacity = 8192;
        when_full policy = when_full::drop_oldest;
        /// How long write() waits for room with when_full::block; then it drops the record.
        std::chrono::milliseconds patience = std::chrono::seconds(10);
    };

    log_sink();
    /// Throws: std::invalid_argument unless 0 < capacity and 0 <= patience; std::bad_alloc.
    explicit log_sink(options chosen);

    /// From now on delivers to the Python of this process; also opens the gate. Idempotent.
    /// Returns: false with a Python error set: RuntimeError if the sink is closed; the errors of
    ///          gil_gate::open() and of the import of logging.
    /// GIL:     held; released for moments, because it runs Python code.
    [[nodiscard]] bool open() const noexcept;

    /// The logger's name, to be kept: each name is stored once.
    /// Throws: std::invalid_argument if it is not UTF-8 or contains a null byte;
    ///         std::bad_alloc.
    [[nodiscard]] log_name name(std::string_view of_logger) const;

    /// The same; `otherwise` if that throws.
    [[nodiscard]] log_name name_or(std::string_view of_logger, log_name otherwise) const noexcept;

    /// Logs, unless the level is below the sink's.
    /// Returns: taken, also if the level is too low; refused if it was dropped; closed.
    // NOLINTNEXTLINE(bugprone-exception-escape): what is thrown is caught
    pushed write(log_entry const& entry) const noexcept {
        return is_enabled(entry.level) ? queue_record(entry) : pushed::taken;
    }

    /// Queues text for sys.stdout or sys.stderr, in order with the records.
    pushed write_to_stdout(std::string_view text) const noexcept;
    pushed write_to_stderr(std::string_view text) const noexcept;

    [[nodiscard]] bool is_enabled(log_level level) const noexcept {
        return static_cast<int>(level) >= threshold_->load(std::memory_order_relaxed);
    }

    /// Records below this level are not queued. At first all are queued, and Python's levels
    /// decide.
    /// Throws: std::invalid_argument unless the level is positive.
    void set_level(log_level lowest) const;

    /// Sets the level to the lowest that any of Python's loggers admits now. Python does not report
    /// changes: call it again when levels have been set.
    /// Returns: false with a Python error set. GIL: held. REQUIRES: it is open.
    [[nodiscard]] bool follow_python_levels() const noexcept;

    /// Waits until everything that was written before is delivered, and releases the GIL meanwhile.
    /// Returns: false if that took too long, the sink has not been opened, or Python's end has left
    ///          records undelivered; in the delivering thread at once, because a handler that
    ///          called it would wait for itself.
    /// Throws:  python_error, in Python's main thread with the GIL held: what a signal's handler
    ///          raised (KeyboardInterrupt, for Ctrl-C), as gil_wait() does.
    // NOLINTNEXTLINE(modernize-use-nodiscard)
    bool flush(std::chrono::nanoseconds at_most = std::chrono::seconds(10)) const;

    [[nodiscard]] log_counts counts() const noexcept;

private:
    pushed queue_record(log_entry const& entry) const noexcept;

    std::shared_ptr<detail::log_queue> queue_;
    std::atomic<int> const* threshold_;  // the queue's
    std::shared_ptr<void> last_copy_;  // its destruction closes the queue
};

}  // namespace handoff
