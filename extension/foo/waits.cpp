// waits: ordered by what they wait for.
#include "waits.hpp"

#include <handoff/gil/detail/first_copy.hpp>
#include <handoff/gil/mutex.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

namespace handoff {

namespace detail {

// Visible, so that all modules of a process that contain this code share them, as they share Foos.

/// Guards the waits of every Foo.
// NOLINTBEGIN(misc-use-internal-linkage): one for all modules of the process
[[gnu::visibility("default")]] inline constinit mutex waiting;
/// How many forks lie between the process that began and this one.
[[gnu::visibility("default")]] inline constinit std::atomic<unsigned> forks = 0;
// NOLINTEND(misc-use-internal-linkage)

}  // namespace detail

namespace {

std::atomic<unsigned>& forks = detail::first_copy_of(detail::forks);
mutex& waiting = detail::first_copy_of(detail::waiting);

}  // namespace

bool waits::by_count::operator()(waiter const& a, waiter const& b) const noexcept {
    return a.count_ < b.count_;
}

struct waits::enrolled {
    boost::intrusive::multiset<waiter, boost::intrusive::member_hook<waiter, hook, &waiter::hook_>,
                               boost::intrusive::compare<by_count>,
                               boost::intrusive::constant_time_size<false>>
        all;
};

waits::waits() noexcept = default;

waits::~waits() = default;

void waits::begin() noexcept {
    std::scoped_lock const held(waiting);
    if (least_ == no_run) {  // otherwise this run follows another at once, and the waits go on
        expect(nobody_waits);
    }
}

void waits::end() noexcept {
    std::scoped_lock const held(waiting);
    expect(no_run);
    if (enrolled_ != nullptr) {
        enrolled_->all.clear_and_dispose([](waiter* each) {
            each->among_ = nullptr;
            each->wake(false);
        });
    }
}

void waits::wake_up_to(Py_ssize_t count) noexcept {
    std::scoped_lock const held(waiting);
    auto& all = enrolled_->all;
    while (!all.empty() && all.begin()->count_ <= count) {
        waiter& first = *all.begin();
        all.erase(all.begin());
        first.among_ = nullptr;
        first.wake(true);
    }
    find_least();
}

/// The mutex is held, and there is a run.
void waits::find_least() noexcept {
    auto const& all = enrolled_->all;
    expect(all.empty() ? nobody_waits : all.begin()->count_);
}

void waits::left_behind() noexcept {
    // A thread of the parent's may have locked the mutex, and may have half changed the set.
    std::construct_at(&waiting);
    static_cast<void>(enrolled_.release());
    expect(no_run);
    ++forks;
}

waits::waiter::waiter(Py_ssize_t count) : count_(count), forks_(forks) {}

bool waits::waiter::enrol(waits& among) {
    auto room = std::make_unique<enrolled>();  // without the mutex
    std::scoped_lock const held(waiting);
    if (among.least_ == no_run) {
        return false;
    }
    if (among.enrolled_ == nullptr) {
        among.enrolled_ = std::move(room);
    }
    among_ = &among;
    among.enrolled_->all.insert(*this);
    among.find_least();
    return true;
}

void waits::waiter::withdraw() noexcept {
    if (left_behind()) {
        return;
    }
    std::scoped_lock const held(waiting);
    if (waits* const among = std::exchange(among_, nullptr)) {
        among->enrolled_->all.erase(among->enrolled_->all.iterator_to(*this));
        among->find_least();
    }
}

bool waits::waiter::left_behind() const noexcept { return forks_ != forks; }

}  // namespace handoff
