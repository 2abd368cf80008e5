// channel: native threads push values into a bounded queue, and Python or C++ takes them out.
#pragma once

#include <handoff/channel/doorbell.hpp>
#include <handoff/channel/listener.hpp>
#include <handoff/channel/short_lock.hpp>

#include <boost/circular_buffer.hpp>
#include <boost/container/static_vector.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace handoff {

/// What a push does when the channel is full.
enum class when_full {
    block,        // waits until there is room, or the channel is closed
    drop_oldest,  // makes room: drops the oldest value
    refuse,       // returns at once, without the value
};

/// The result of a push.
enum class pushed {
    taken,    // the value is in the channel, and will be delivered in order
    refused,  // the channel was full, and its policy is `refuse`
    closed,   // the channel is closed, or its consumer is gone: nothing is accepted any more
};

/// What happened in a channel so far, a snapshot of one moment:
/// pushed = delivered + dropped + size.
struct channel_counts {
    std::uint64_t pushed = 0;     // accepted
    std::uint64_t delivered = 0;  // taken out
    std::uint64_t dropped = 0;    // to make room
    std::uint64_t refused = 0;    // not accepted: full, or closed
    std::size_t size = 0;         // in the channel now
};

template <class T>
class loan;

namespace detail {

template <class T>
class channel_queue;

/// Values that were pushed one after the other.
struct run_of_values {
    std::uint64_t first = 0;  // the place of the oldest in the order of the pushes
    std::size_t count = 0;
};
/// The runs of a loan; more than one if others take or give back meanwhile. Allocates nothing.
using runs_of_values = boost::container::static_vector<run_of_values, 8>;

/// The end of a channel of any type.
class channel_end {
public:
    channel_end() = default;
    virtual ~channel_end() = default;
    channel_end(channel_end const&) = delete;
    channel_end& operator=(channel_end const&) = delete;

    /// Closes it, and wakes the producers; a consumer that waits keeps waiting.
    virtual void close_to_producers() noexcept = 0;

    /// See channel_listener, which uses these two. False: it will never be notified.
    [[nodiscard]] virtual bool listen(channel_listener& who) noexcept = 0;
    virtual void withdraw(channel_listener& who) noexcept = 0;

    std::atomic<bool> closes_at_exit = false;  // for the code that closes it then; not used here
};

}  // namespace detail

/// A bounded first-in-first-out queue between native producers, which push through producer<T>, and
/// its consumer, which owns the channel.
///
///     auto samples = std::make_shared<channel<sample>>(4096, when_full::drop_oldest);
///     std::jthread reader([out = producer(*samples)] {
///         while (out.push(device.read()) != pushed::closed) {
///         }
///     });
///
/// Overview
///   Each value is delivered once, in the order of the pushes, whichever thread made them. At most
///   `capacity` values wait. The queue is a boost::circular_buffer, allocated once, under a lock
///   that is held for a move or for the copy of a few kilobytes. A thread that must wait does so
///   without the lock. A push wakes a consumer only if one waits, and then once, not once per
///   message. A consumer that cannot wait, such as an event loop, is notified by a
///   channel_listener.
///
/// Life
///   The channel belongs to the consumer; producers share only its queue. When the channel is
///   closed or destroyed, push() returns `closed` to them, also to blocked ones. What was pushed
///   before can still be taken from a closed channel.
///
/// In the child of a fork(), where no producer exists, it is closed and empty.
///
/// GIL:     never touched. Do not hold it where a member waits (push() with when_full::block,
///          wait_until()): the thread that would end the wait may need it.
/// Threads: any.
/// REQUIRES: T is moved and destroyed without an exception and without the GIL: any of these
///           threads may destroy it. It is not a Python object and owns none.
template <class T>
class channel {
public:
    using value_type = T;
    using clock = std::chrono::steady_clock;

    /// Throws: std::invalid_argument unless 0 < capacity and so many values fit into the address
    ///         space; std::bad_alloc.
    explicit channel(std::ptrdiff_t capacity, when_full policy = when_full::block)
        : queue_(new detail::channel_queue<T>(capacity, policy), &detail::channel_queue<T>::drop) {}

    ~channel() { close(); }

    channel(channel const&) = delete;
    channel& operator=(channel const&) = delete;

    /// Takes out at most so many values, the oldest first, without waiting. Empty if there is none.
    /// If the caller may be unable to use them, it makes a loan instead.
    /// Throws: std::bad_alloc; nothing is taken then.
    [[nodiscard]] std::vector<T> take(std::size_t at_most) { return queue_->take(at_most); }

    /// Waits until so many values (at most the capacity) can be taken, or the channel is closed. If
    /// it is closed and empty, waits until no values are on loan, because these may come back.
    /// Returns: whether that happened before the deadline.
    bool wait_until(clock::time_point deadline, std::size_t at_least = 1) {
        return queue_->wait_until(deadline, at_least);
    }

    /// Accepts no more values, and wakes all threads that wait. Idempotent: the first error is
    /// kept.
    void close(std::exception_ptr error = nullptr) noexcept { queue_->close(std::move(error)); }

    [[nodiscard]] bool closed() const noexcept { return queue_->closed(); }

    /// Whether nothing can ever be taken any more: it is closed, empty, and nothing is on loan.
    [[nodiscard]] bool ended() const noexcept { return queue_->ended(); }

    /// Whether this thread has a loan of this channel, so that it cannot wait for the loan's end.
    [[nodiscard]] bool lends_to_caller() const noexcept { return queue_->lends_to_caller(); }

    /// The error that the channel was closed with; null if there is none, or it is not closed.
    [[nodiscard]] std::exception_ptr error() const noexcept { return queue_->error(); }

    /// How many values can be taken now.
    [[nodiscard]] std::size_t size() const noexcept { return counts().size; }
    [[nodiscard]] std::size_t capacity() const noexcept { return queue_->capacity(); }
    [[nodiscard]] when_full policy() const noexcept { return queue_->policy(); }
    [[nodiscard]] channel_counts counts() const noexcept { return queue_->counts(); }

    /// For code that closes the channel later without keeping it; and for a channel_listener.
    [[nodiscard]] std::weak_ptr<detail::channel_end> end() const noexcept { return queue_; }

private:
    template <class>
    friend class producer;
    template <class>
    friend class loan;

    std::shared_ptr<detail::channel_queue<T>> queue_;
};

/// Values that a consumer has taken, and perhaps cannot use. Until the consumer says which it
/// keeps, they are on loan: they are not in the channel but may come back, so the channel has not
/// ended for other consumers. Meanwhile they count as delivered.
///
///     handoff::loan borrowed(samples, 100);  // at most; without waiting
///     std::size_t const written = file.write(borrowed.values());
///     borrowed.keep(written);  // the others go back, before all that is in the channel
///
/// Values that are not kept go back when the loan is destroyed, in the order of the pushes. They
/// may exceed the capacity, unless the channel drops the oldest: then they are dropped first. If
/// there is no memory to give them back, they count as dropped.
///
/// GIL:     never touched.
/// Threads: the thread that made it.
template <class T>
class loan {
public:
    /// Throws: std::bad_alloc; nothing is taken then.
    loan(channel<T> const& from, std::size_t at_most) : from_(from.queue_) {
        from_->lend(*this, at_most);
    }
    ~loan() { keep(0); }

    loan(loan const&) = delete;
    loan& operator=(loan const&) = delete;

    [[nodiscard]] bool empty() const noexcept { return values_.empty(); }

    /// The oldest first. Empty after the end of the loan.
    [[nodiscard]] std::span<T const> values() const noexcept { return values_; }

    /// Ends the loan: the oldest `count` values are delivered, and the others go back.
    void keep(std::size_t count) noexcept {
        if (auto const from = std::exchange(from_, nullptr)) {
            from->settle(*this, count);
        }
        values_.clear();
    }

    /// Ends the loan: all are delivered.
    [[nodiscard]] std::vector<T> keep_all() noexcept {
        std::vector<T> kept;
        kept.swap(values_);
        keep(0);
        return kept;
    }

private:
    friend class detail::channel_queue<T>;

    std::shared_ptr<detail::channel_queue<T>> from_;  // null: the loan has ended
    std::vector<T> values_;
    detail::runs_of_values runs_;  // of them, the oldest first
    std::thread::id to_;
    loan* next_ = nullptr;  // these two: guarded by the queue's lock
    loan* previous_ = nullptr;
};

/// Pushes into a channel. Copies push into the same channel; they do not keep it open.
///
/// GIL:     never touched; see channel for when not to hold it.
/// Threads: any.
template <class T>
class producer {
public:
    explicit producer(channel<T> const& to) : queue_(to.queue_) {}

    /// Puts a value at the end of the queue, or does what the channel's policy says if it is full.
    /// A value that was taken is lost only by drop_oldest, or with the channel.
    pushed push(T value) const noexcept { return queue_->push(std::move(value)); }

    /// push() for each, in this order, at a fraction of the cost: for values that arrive in blocks.
    /// The values of other producers may come in between.
    /// Returns: how many were accepted: all, unless the channel is full and refuses, or is closed.
    std::size_t push_many(std::span<T const> values) const noexcept
        requires std::is_nothrow_copy_constructible_v<T>
    {
        return queue_->push_many(values);
    }

    /// Like channel::close(). The consumer gets the error after all values that were pushed before:
    ///
    ///     } catch (...) {
    ///         out.close(std::current_exception());
    ///     }
    void close(std::exception_ptr error = nullptr) const noexcept {
        queue_->close(std::move(error));
    }

    [[nodiscard]] bool closed() const noexcept { return queue_->closed(); }

private:
    std::shared_ptr<detail::channel_queue<T>> queue_;
};

namespace detail {

/// What a channel and its producers share.
template <class T>
class alignas(64) channel_queue final : public channel_end {
    static_assert(!std::is_same_v<T, bool>, "a std::vector<bool> holds no bool: push a char");
    static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                  "a channel's values are moved under its lock: an exception would lose them");

public:
    channel_queue(std::ptrdiff_t capacity, when_full policy)
        : policy_(policy), items_(checked(capacity)) {}

    /// Deletes it, except in the child of a fork(), where a thread that no longer exists may have
    /// it locked.
    static void drop(channel_queue* dropped) noexcept {
        if (!dropped->left_behind()) {
            delete dropped;
        }
    }

    pushed push(T value) noexcept {
        if (left_behind()) [[unlikely]] {
            return pushed::closed;
        }
        std::unique_lock held(lock_);
        if (closed_ || items_.full()) [[unlikely]] {
            return push_past(held, std::move(value));
        }
        append(held, std::move(value));
        return pushed::taken;
    }

    std::size_t push_many(std::span<T const> values) noexcept {
        std::size_t taken = 0;
        while (taken < values.size() && !left_behind()) {
            auto const rest = values.subspan(taken);
            std::unique_lock held(lock_);
            if (closed_ || items_.full()) [[unlikely]] {
                if (push_past(held, T(rest.front())) != pushed::taken) {
                    refused_ += rest.size() - 1;  // the first was counted
                    break;
                }
                ++taken;
                continue;
            }
            auto const fit = rest.first(std::min({portion, rest.size(), items_.reserve()}));
            items_.insert(items_.end(), fit.begin(), fit.end());
            taken += fit.size();
            shed_and_announce(held);
        }
        return taken;
    }

    std::vector<T> take(std::size_t at_most) {
        std::vector<T> taken;
        if (left_behind()) {
            return taken;
        }
        std::size_t const most = std::min(at_most, counts().size);
        taken.reserve(most);  // not under the lock
        take_into(taken, most);
        return taken;
    }

    void lend(loan<T>& to, std::size_t at_most) {
        // Reserves so much, before the lock is taken. For one value it does not check the size.
        std::size_t const most =
            at_most == 1 && !left_behind() ? 1 : std::min(at_most, counts().size);
        if (most == 0) {
            to.from_ = nullptr;
            return;
        }
        to.values_.reserve(most);
        to.to_ = std::this_thread::get_id();
        // Registered and taken under one lock: the channel does not seem to have ended in between.
        auto taken = take_portion(to.values_, most, [&] {
            to.next_ = std::exchange(on_loan_, &to);
            if (to.next_ != nullptr) {
                to.next_->previous_ = &to;
            }
        });
        if (taken.count == 0) {  // another consumer was faster
            to.from_ = nullptr;
            return;
        }
        auto& runs = to.runs_;
        while (taken.count > 0) {
            if (!runs.empty() && runs.back().first + runs.back().count == taken.first) {
                runs.back().count += taken.count;
            } else {
                runs.push_back(taken);
            }
            bool const ends = to.values_.size() == most || runs.size() == runs.capacity();
            taken = ends ? run_of_values{} : take_portion(to.values_, most);
        }
    }

    /// Ends a loan: the first `delivered` values are delivered.
    void settle(loan<T>& ended, std::size_t delivered) noexcept {
        if (left_behind()) {
            return;
        }
        if (delivered < ended.values_.size()) [[unlikely]] {
            give_back(ended, delivered);
            return;
        }
        std::unique_lock held(lock_);
        forget(ended);
        announce_end_of_loan(held);
    }

    bool wait_until(std::chrono::steady_clock::time_point deadline, std::size_t at_least) {
        at_least = std::min(at_least, capacity());
        for (bool in_time = true;;) {
            if (left_behind()) {
                return true;
            }
            std::unique_lock held(lock_);
            if (size() >= at_least || (closed_ && (size() > 0 || !others_have_loans()))) {
                return true;
            }
            if (!in_time) {
                return false;
            }
            auto const seen = filled_.listen(at_least);
            held.unlock();
            in_time = filled_.wait_until(seen, deadline);
        }
    }

    void close(std::exception_ptr error) noexcept {
        if (left_behind()) {
            return;
        }
        {
            std::scoped_lock const held(lock_);
            if (closed_) {
                return;
            }
            closed_ = true;
            error_ = std::move(error);
        }
        filled_.ring();
        emptied_.ring();
    }

    void close_to_producers() noexcept override {
        if (left_behind()) {
            return;
        }
        {
            std::scoped_lock const held(lock_);
            closed_ = true;
        }
        emptied_.ring();
    }

    bool listen(channel_listener& who) noexcept override {
        if (left_behind()) {
            return false;
        }
        filled_.enrol(who);
        bool const is_to_look = [&] {
            std::scoped_lock const held(lock_);
            bool const now = size() > 0 || (closed_ && on_loan_ == nullptr);
            if (!now) {
                static_cast<void>(filled_.listen(1));
            }
            return now;
        }();
        if (is_to_look) {
            filled_.tell(who);
        }
        return true;
    }

    void withdraw(channel_listener& who) noexcept override {
        if (!left_behind()) {
            filled_.withdraw(who);
        }
    }

    [[nodiscard]] bool closed() const noexcept {
        if (left_behind()) {
            return true;
        }
        std::scoped_lock const held(lock_);
        return closed_;
    }

    [[nodiscard]] bool ended() const noexcept {
        if (left_behind()) {
            return true;
        }
        std::scoped_lock const held(lock_);
        return closed_ && size() == 0 && on_loan_ == nullptr;
    }

    [[nodiscard]] bool lends_to_caller() const noexcept {
        if (left_behind()) {
            return false;
        }
        std::scoped_lock const held(lock_);
        return has_loan_of_caller();
    }

    [[nodiscard]] std::exception_ptr error() const noexcept {
        if (left_behind()) {
            return nullptr;
        }
        std::scoped_lock const held(lock_);
        return error_;
    }

    [[nodiscard]] std::size_t capacity() const noexcept { return items_.capacity(); }
    [[nodiscard]] when_full policy() const noexcept { return policy_; }

    [[nodiscard]] channel_counts counts() const noexcept {
        if (left_behind()) {
            return {};
        }
        std::scoped_lock const held(lock_);
        return {.pushed = delivered_ + dropped_ + size(),
                .delivered = delivered_,
                .dropped = dropped_,
                .refused = refused_,
                .size = size()};
    }

private:
    using lock = std::unique_lock<short_lock>;

    /// Values that came back from a loan, and were pushed without a gap.
    struct come_back {
        come_back(std::uint64_t place, std::shared_ptr<std::vector<T>> all, std::size_t from,
                  std::size_t to) noexcept
            : first(place), values(std::move(all)), next(from), end(to) {}

        /// Removes the oldest, which the caller has already handled.
        void remove(std::size_t count) noexcept {
            next += count;
            first += count;
        }
        [[nodiscard]] bool empty() const noexcept { return next == end; }
        [[nodiscard]] std::span<T> rest() const noexcept {
            return std::span(*values).subspan(next, end - next);
        }

        std::uint64_t first;  // the place of the oldest in the order of the pushes
        std::shared_ptr<std::vector<T>> values;
        std::size_t next;  // of them: the oldest that is still there, ...
        std::size_t end;  // ... and the end
    };

    /// How much is copied in one hold of the lock.
    static constexpr std::size_t portion = std::max<std::size_t>(1, 16384 / sizeof(T));

    static std::size_t checked(std::ptrdiff_t capacity) {
        auto const most =
            std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::ptrdiff_t>(sizeof(T));
        if (capacity <= 0 || capacity > most) {
            throw std::invalid_argument("capacity must be a positive number of values, at most " +
                                        std::to_string(most) + ", not " + std::to_string(capacity));
        }
        return static_cast<std::size_t>(capacity);
    }

    /// Whether this is the child of a fork(), and the queue the parent's.
    [[nodiscard]] bool left_behind() const noexcept { return born_in_ != forks(); }

    [[nodiscard]] std::size_t size() const noexcept { return items_.size() + returned_size_; }

    /// REQUIRES: the lock, for these two.
    [[nodiscard]] bool has_loan_of_caller() const noexcept {
        for (loan<T> const* each = on_loan_; each != nullptr; each = each->next_) {
            if (each->to_ == std::this_thread::get_id()) {
                return true;
            }
        }
        return false;
    }
    [[nodiscard]] bool others_have_loans() const noexcept {
        return on_loan_ != nullptr && !has_loan_of_caller();
    }

    /// Unlocks, and wakes the threads that listen for this many values.
    static void announce(lock& held, doorbell& bell, std::size_t there) noexcept {
        bool const heard = bell.heard(there);
        held.unlock();
        if (heard) [[unlikely]] {
            bell.ring();
        }
    }

    /// Unlocks. REQUIRES: there is room.
    void append(lock& held, T&& value) noexcept {
        items_.push_back(std::move(value));
        shed_and_announce(held);
    }

    /// Unlocks, after something was pushed.
    void shed_and_announce(lock& held) noexcept {
        if (returned_size_ == 0) [[likely]] {
            announce(held, filled_, size());
            return;
        }
        std::list<come_back> spent;  // freed without the lock
        shed(spent);
        announce(held, filled_, size());
    }

    /// REQUIRES: the lock.
    void forget(loan<T>& ended) noexcept {
        (ended.previous_ != nullptr ? ended.previous_->next_ : on_loan_) = ended.next_;
        if (ended.next_ != nullptr) {
            ended.next_->previous_ = ended.previous_;
        }
    }

    /// Unlocks. A thread that waits for the end of a closed channel waits for this.
    void announce_end_of_loan(lock& held) noexcept {
        announce(held, filled_, closed_ ? capacity() : size());
    }

    /// The rarer half of settle().
    [[gnu::noinline]] void give_back(loan<T>& ended, std::size_t delivered) noexcept {
        std::size_t const back = ended.values_.size() - delivered;
        std::list<come_back> nodes;  // not under the lock
        try {
            auto const all = std::make_shared<std::vector<T>>(std::move(ended.values_));
            std::size_t begin = 0;
            for (run_of_values const& each : ended.runs_) {
                std::size_t const end = begin + each.count;
                if (std::size_t const from = std::max(begin, delivered); from < end) {
                    nodes.emplace_back(each.first + (from - begin), all, from, end);
                }
                begin = end;
            }
        } catch (std::bad_alloc const&) {
            nodes.clear();
        }
        std::list<come_back> spent;  // freed without the lock
        std::unique_lock held(lock_);
        forget(ended);
        delivered_ -= back;
        if (nodes.empty()) {
            dropped_ += back;
        } else {
            returned_size_ += back;
            returned_.merge(
                nodes, [](come_back const& a, come_back const& b) { return a.first < b.first; });
        }
        shed(spent);
        announce_end_of_loan(held);
    }

    /// Values that came back are the oldest, so they make room first. REQUIRES: the lock.
    void shed(std::list<come_back>& spent) noexcept {
        while (policy_ == when_full::drop_oldest && returned_size_ > 0 && size() > capacity()) {
            returned_.front().remove(1);
            --returned_size_;
            ++dropped_;
            if (returned_.front().empty()) {
                spent.splice(spent.end(), returned_, returned_.begin());
            }
        }
    }

    /// The rarer half of push(): full, or closed.
    [[gnu::noinline]] pushed push_past(lock& held, T&& value) noexcept {
        while (!closed_ && items_.full()) {
            if (policy_ == when_full::refuse) {
                ++refused_;
                return pushed::refused;
            }
            if (policy_ == when_full::drop_oldest) {
                [[maybe_unused]] T const oldest =
                    std::move(items_.front());  // destroyed without the lock
                items_.pop_front();
                ++first_;
                ++dropped_;
                append(held, std::move(value));
                return pushed::taken;
            }
            auto const seen = emptied_.listen(1);
            held.unlock();
            emptied_.wait(seen);
            held.lock();
        }
        if (closed_) {
            ++refused_;
            return pushed::closed;
        }
        append(held, std::move(value));
        return pushed::taken;
    }

    /// REQUIRES: there is room in `taken` for `most`.
    void take_into(std::vector<T>& taken, std::size_t most) noexcept {
        while (taken.size() < most && take_portion(taken, most).count > 0) {
        }
    }

    /// Returns: what it has taken; if that is anything, it has called under_lock() under the same
    /// lock.
    template <class UnderLock = void (*)()>
    run_of_values take_portion(
        std::vector<T>& taken, std::size_t most, UnderLock const& under_lock = [] {}) noexcept {
        std::list<come_back> spent;  // freed without the lock
        std::unique_lock held(lock_);
        if (size() == 0) {
            return {};
        }
        under_lock();
        if (!returned_.empty()) [[unlikely]] {
            return take_returned(taken, most, spent);
        }
        auto const [first, length] = items_.array_one();
        std::size_t const moved = std::min({portion, most - taken.size(), length});
        taken.insert(taken.end(), std::move_iterator(first), std::move_iterator(first + moved));
        items_.erase_begin(moved);
        run_of_values const run{.first = std::exchange(first_, first_ + moved), .count = moved};
        delivered_ += moved;
        announce(held, emptied_, items_.reserve());
        return run;
    }

    /// REQUIRES: the lock; something has come back.
    run_of_values take_returned(std::vector<T>& taken, std::size_t most,
                                std::list<come_back>& spent) noexcept {
        come_back& from = returned_.front();
        auto const rest = from.rest();
        auto const moved = rest.first(std::min({portion, most - taken.size(), rest.size()}));
        run_of_values const run{.first = from.first, .count = moved.size()};
        taken.insert(taken.end(), std::move_iterator(moved.begin()),
                     std::move_iterator(moved.end()));
        from.remove(moved.size());
        returned_size_ -= moved.size();
        delivered_ += moved.size();
        if (from.empty()) {
            spent.splice(spent.end(), returned_, returned_.begin());
        }
        return run;
    }

    // Guarded by the lock, except what is constant.
    short_lock mutable lock_;
    bool closed_ = false;
    when_full const policy_;
    unsigned const born_in_ = forks();
    boost::circular_buffer<T> items_;
    std::uint64_t first_ = 0;  // the place of the oldest of them in the order of the pushes
    std::uint64_t delivered_ = 0;
    std::uint64_t dropped_ = 0;
    std::uint64_t refused_ = 0;
    loan<T>* on_loan_ = nullptr;  // the newest
    std::list<come_back> returned_;  // from loans, in order: before all items
    std::size_t returned_size_ = 0;  // values in it
    std::exception_ptr error_;
    doorbell filled_;  // rung when there is something to take
    doorbell emptied_;  // rung when there is room
};

}  // namespace detail

}  // namespace handoff
