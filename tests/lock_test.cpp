// gil_lock, gil_unique_lock, gil_shared_lock: who waits for a mutex does not hold the GIL.
#include "embedded_python.hpp"
#include "with_and_without_gil.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <atomic>
#include <latch>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

namespace py = boost::python;
using handoff::gil_acquire;
using handoff::gil_held;
using handoff::gil_lock;
using handoff::gil_release;
using handoff::gil_shared_lock;
using handoff::gil_unique_lock;

/// Whether another thread could lock it.
template <class Mutex>
bool is_free(Mutex& mutex) {
    bool locked = false;
    std::thread([&] {
        locked = mutex.try_lock();
        if (locked) {
            mutex.unlock();
        }
    }).join();
    return locked;
}

/// With the GIL, and without it.
class GilLock : public with_and_without_gil {};
INSTANTIATE_TEST_SUITE_P(Where, GilLock, testing::Bool(), with_and_without_gil::name);

TEST_P(GilLock, LocksAllForItsScope) {
    std::mutex first;
    std::recursive_mutex second;
    std::shared_mutex third;
    {
        gil_lock held(first, second, third);
        EXPECT_EQ(gil_held(), GetParam());
        EXPECT_FALSE(is_free(first) || is_free(second) || is_free(third));
    }
    EXPECT_TRUE(is_free(first) && is_free(second) && is_free(third));
    gil_lock nothing;
}

TEST_P(GilLock, HoldsNothingWhereAMutexThrows) {
    struct failing {
        void lock() { throw std::runtime_error("no lock"); }
        [[nodiscard]] bool try_lock() const { return is_free; }
        void unlock() {}
        bool is_free = false;
    } fails;
    std::mutex other;
    EXPECT_THROW(gil_lock held(fails), std::runtime_error);
    EXPECT_EQ(gil_held(), GetParam());
    auto const lock_both = [&] { gil_lock held(fails, other); };
    EXPECT_THROW(lock_both(), std::runtime_error);
    EXPECT_TRUE(is_free(other));
}

TEST_P(GilLock, IsUniqueAsTheStandardsIs) {
    std::mutex mutex;
    gil_unique_lock<std::mutex> none;
    EXPECT_THROW(none.lock(), std::system_error);

    gil_unique_lock held(mutex);
    EXPECT_TRUE(held.owns_lock());
    EXPECT_EQ(held.mutex(), &mutex);
    EXPECT_FALSE(is_free(mutex));
    EXPECT_THROW(held.lock(), std::system_error);
    held.unlock();
    EXPECT_TRUE(is_free(mutex));
    held.lock();

    gil_unique_lock moved = std::move(held);
    EXPECT_TRUE(moved);
    none = std::move(moved);
    EXPECT_FALSE(is_free(mutex));
    none.unlock();

    gil_unique_lock deferred(mutex, std::defer_lock);
    EXPECT_FALSE(deferred);
    gil_unique_lock tried(mutex, std::try_to_lock);
    EXPECT_TRUE(tried);
    EXPECT_FALSE(is_free(mutex));
    tried.release();
    gil_unique_lock adopted(mutex, std::adopt_lock);
    EXPECT_TRUE(adopted);
    static_assert(std::is_nothrow_move_constructible_v<decltype(adopted)>);
    static_assert(!std::is_copy_constructible_v<decltype(adopted)>);
}

TEST_P(GilLock, IsSharedAsTheStandardsIs) {
    std::shared_mutex mutex;
    gil_shared_lock reads(mutex);
    EXPECT_FALSE(is_free(mutex));
    std::thread([&] {
        gil_shared_lock reads_too(mutex);
        EXPECT_TRUE(reads_too);
    }).join();
    reads.unlock();
    EXPECT_TRUE(is_free(mutex));
}

/// A thread holds a mutex, and then wants the GIL, which another has that wants the mutex.
template <class Lock>
void hold_and_want_the_gil(std::mutex& mutex, Lock lock) {
    std::latch has_the_mutex(1);
    std::latch has_the_gil(1);
    bool were_both_held = false;
    std::jthread calls_python([&] {
        std::scoped_lock held(mutex);
        has_the_mutex.count_down();
        has_the_gil.wait();
        gil_acquire gil;
        were_both_held = true;
    });
    has_the_mutex.wait();
    gil_acquire gil;
    has_the_gil.count_down();
    lock([&] {
        EXPECT_TRUE(were_both_held);
        EXPECT_TRUE(gil_held());
        EXPECT_FALSE(is_free(mutex));
    });
}

TEST(GilLockBesideAHolderThatWantsTheGil, LetsItGoOn) {
    std::mutex mutex;
    hold_and_want_the_gil(mutex, [&](auto check) {
        gil_lock held(mutex);
        check();
    });
}

TEST(GilLockBesideAHolderThatWantsTheGil, LetsItGoOnWithSeveral) {
    std::mutex mutex;
    std::mutex other;
    hold_and_want_the_gil(mutex, [&](auto check) {
        gil_lock held(other, mutex);
        check();
        EXPECT_FALSE(is_free(other));
    });
}

TEST(GilLockBesideAHolderThatWantsTheGil, LetsItGoOnWithAUniqueLock) {
    std::mutex mutex;
    hold_and_want_the_gil(mutex, [&](auto check) {
        gil_unique_lock held(mutex, std::defer_lock);
        held.lock();
        check();
    });
}

TEST(GilLockOfManyThreads, ExcludesInAnyOrderBesideBusyPython) {
    static constexpr int rounds = 3000;
    std::mutex first;
    std::mutex second;
    int inside = 0;  // guarded by both
    int count = 0;
    std::vector<std::jthread> threads;
    auto const work = [&](auto& one, auto& two) {
        for (int i = 0; i < rounds; ++i) {
            gil_lock held(one, two);
            EXPECT_EQ(++inside, 1);
            if (i % 8 == 0) {
                gil_acquire gil;  // a callback
            }
            --inside;
            ++count;
        }
    };
    for (bool const with_gil : {true, false}) {
        threads.emplace_back([&, with_gil] {
            std::optional<gil_acquire> gil;
            if (with_gil) {
                gil.emplace();
            }
            work(first, second);
        });
        threads.emplace_back([&, with_gil] {
            std::optional<gil_acquire> gil;
            if (with_gil) {
                gil.emplace();
            }
            work(second, first);
        });
    }
    embedded_python::python().run_string("for each in range(300000): pass");
    threads.clear();
    EXPECT_EQ(count, 4 * rounds);
}

TEST(GilLockThatHasWaited, RunsNoPythonCodeBeforeItReturns) {
    static std::atomic<int> died = 0;
    std::mutex mutex;
    std::latch has_the_mutex(1);
    std::latch has_the_gil(1);
    std::jthread other([&] {
        std::scoped_lock held(mutex);
        has_the_mutex.count_down();
        has_the_gil.wait();
        PyGILState_Release(PyGILState_Ensure());  // the other waits for the mutex, therefore
    });
    has_the_mutex.wait();
    gil_acquire gil;
    handoff::gil_owned<py::object> owned(py::object(py::handle<>(
        PyCapsule_New(&died, nullptr, [](PyObject*) { ++died; }))));  // it could want the mutex
    std::thread([&] { owned.reset(); }).join();
    has_the_gil.count_down();
    {
        gil_lock held(mutex);
        EXPECT_EQ(died, 0);
    }
    {
        gil_release meanwhile;
    }
    EXPECT_EQ(died, 1);
}

TEST(GilLockAtPythonsEnd, IsWaitedForWhereItsThreadCameWithTheGil) {
    std::mutex mutex;
    std::latch has_it(1);
    bool has_ended = false;
    std::jthread runs_python([&] {
        gil_acquire gil;
        gil_lock held(mutex);
        gil_release as_any_python_code_does;
        has_it.count_down();
        while (handoff::gil_gate::is_open()) {
            std::this_thread::yield();
        }
        gil_acquire again;
        has_ended = true;
    });
    has_it.wait();
    gil_acquire gil;
    EXPECT_TRUE(handoff::gil_gate::close());
    EXPECT_TRUE(has_ended);
    gil_release to_join;
    runs_python.join();
}

/// Says when another thread has locked and unlocked it.
struct observed_mutex {
    void lock() {
        its.lock();
        is_locked.count_down();
    }
    bool try_lock() { return its.try_lock(); }
    void unlock() {
        its.unlock();
        is_unlocked.count_down();
    }

    std::mutex its;
    std::latch is_locked{1};
    std::latch is_unlocked{2};  // by the first, and by who has waited
};

TEST(GilUniqueLockAtPythonsEnd, IsHeldByNobodyWhoMayWaitForTheGilForEver) {
    observed_mutex mutex;
    ASSERT_TRUE(mutex.try_lock());
    gil_acquire gil;
    std::latch has_the_gil(1);
    std::jthread late([&] {
        gil_acquire its;
        has_the_gil.count_down();
        gil_unique_lock held(mutex);
        EXPECT_TRUE(gil_held());
    });
    {
        gil_release to_let_it_in;
        has_the_gil.wait();
    }
    EXPECT_TRUE(handoff::gil_gate::close());
    mutex.unlock();
    mutex.is_locked.wait();    // it has it now, and this thread has the GIL
    mutex.is_unlocked.wait();  // it has given it up
    gil_release to_join;
    late.join();
}

}  // namespace
