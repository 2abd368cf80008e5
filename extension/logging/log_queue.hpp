// log_queue: shared by the copies of a log_sink: the names, the records, and the delivering thread.
#pragma once

#include "log_record.hpp"
#include <handoff/channel.hpp>
#include <handoff/gil/detail/free_threading.hpp>
#include <handoff/gil/detail/reference.hpp>
#include <handoff/gil/mutex.hpp>
#include <handoff/gil/owned.hpp>
#include <handoff/logging/log_sink.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace handoff::detail {

/// Overview
///   The records are in a channel that never waits. If the policy is to block, the writer waits
///   here instead, so that it waits without the GIL, and the delivering thread never waits for
///   room. The delivering thread is started by the first record that is written, or already
///   waiting, while the sink is open. It owns the queue until it has delivered all that was in it
///   when it was closed.
///
/// After a fork()
///   In the child, everything that a thread of the parent may have been about to change is left
///   unchanged, and a new one is made: see `generation`. Names are kept in lists to which names
///   are only added. If a handler has forked, the delivering thread is the child's only one. When
///   the handler returns there, the thread delivers what is left and ends. Another one delivers
///   what is logged before or after, and ends as well when nothing is left: the child's process
///   ends with its last thread.
class log_queue : public std::enable_shared_from_this<log_queue> {
public:
    explicit log_queue(log_sink::options const& chosen);
    ~log_queue();
    log_queue(log_queue const&) = delete;
    log_queue& operator=(log_queue const&) = delete;

    [[nodiscard]] bool open() noexcept;
    [[nodiscard]] log_name name(std::string_view of_logger);
    [[nodiscard]] log_name name_or(std::string_view of_logger, log_name otherwise) noexcept;
    pushed write(log_entry const& entry) noexcept;
    pushed write_text(char const* stream, std::string_view text) noexcept;
    [[nodiscard]] bool follow_python_levels() noexcept;
    bool flush(std::chrono::nanoseconds at_most);
    [[nodiscard]] log_counts counts() const noexcept;

    /// Nothing can be written any more; what was written is delivered.
    void close() noexcept;

    std::atomic<int> lowest_level = 0;

private:
    /// One process's part of it: the parent's, or that of a fork's child.
    struct generation {
        explicit generation(log_sink::options const& chosen);

        channel<log_record> records;
        producer<log_record> in;
        std::atomic<bool> has_thread = false;
        std::atomic<std::uint64_t> lost = 0;  // records for which there was no room or no memory
        std::atomic<std::uint64_t> undelivered = 0;  // accepted, not delivered when Python ended
        std::atomic<std::uint64_t> recursive = 0;
        std::atomic<std::uint64_t> refused = 0;
        std::atomic<std::uint64_t> raised = 0;
        std::atomic<std::uint64_t> handled = 0;  // delivered completely
        std::atomic<unsigned> batches = 0;  // changed under the mutex
        // Used by the delivering thread.
        std::uint64_t told = 0;  // how many dropped records were reported
        std::uint64_t seen = 0;  // how many had been dropped at the end of the batch before
        std::chrono::steady_clock::time_point told_at{};

        mutex lock;
        condition_variable changed;  // batches, or has_ended
        bool has_ended = false;  // the delivering thread
        bool ends_when_empty = false;  // that thread: in the child of a fork() by a handler
        std::atomic<bool> is_given_up = false;  // Python does not wait for the rest
        std::unique_ptr<generation> of_parent;  // not used any more

        [[nodiscard]] std::uint64_t dropped() const noexcept {
            return lost + undelivered + records.counts().dropped;
        }
        /// Accepted, and not completely delivered: those in the channel, and those of a batch.
        [[nodiscard]] std::uint64_t waiting() const noexcept {
            std::uint64_t const done = handled + undelivered;  // read first: these only grow
            auto const all = records.counts();
            return all.size + (all.delivered - done);
        }
        void announce() noexcept;
    };

    struct kept_name {
        std::string text;
        kept_name* next;
    };

    template <class Make>
    pushed write_made(Make const& make) noexcept;
    /// Returns: whether there may be room.
    [[nodiscard]] bool await_room(generation& of, unsigned seen,
                                  std::chrono::steady_clock::time_point deadline) const noexcept;
    void start_thread(generation& of) noexcept;
    void run(generation& of) noexcept;
    void deliver_all(generation& of);
    /// Returns: whether the thread leaves it to a later one to deliver what comes.
    [[nodiscard]] static bool leaves(generation& of) noexcept;
    /// What the child of a handler's fork() has logged so far.
    void deliver_in_child();
    void tell_of_dropped(generation& of, class log_delivery& to) noexcept;

    /// Returns: false with a Python error set.
    [[nodiscard]] bool register_ends() noexcept;
    [[nodiscard]] bool close_and_wait() noexcept;
    [[nodiscard]] bool begin_in_child() noexcept;
    static PyObject* at_exit(PyObject* capsule, PyObject*) noexcept;
    static PyObject* in_child(PyObject* capsule, PyObject*) noexcept;

    log_sink::options const chosen_;
    std::unique_ptr<generation> owned_;
    std::atomic<generation*> now_;  // owned_
    std::atomic<bool> is_open_ = false;
    std::atomic<bool> is_closed_ = false;
    std::array<std::atomic<kept_name*>, 1024> names_{};  // lists, by the name's hash
    gil_exclusion exclusion_;
    gil_owned<reference> delivery_;  // the names of delivery.py; set once, under it
};

}  // namespace handoff::detail
