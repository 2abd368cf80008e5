// Foo from the host's side: who holds the GIL when it starts, waits, calls back and dies.
#include "embedded_python.hpp"
#include <handoff/foo.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <boost/mpl/vector.hpp>
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace py = boost::python;
using handoff::foo;
using handoff::gil_acquire;
using handoff::gil_held;
using handoff::gil_release;
using namespace std::chrono_literals;

handoff::interpreter& python() { return embedded_python::python(); }

/// A Foo whose callback announces itself, and then waits, without the GIL, until it may go on.
class FooInItsCallback : public testing::Test {
protected:
    void SetUp() override {
        gil_acquire gil;
        py::object const on_message =
            py::make_function([this](int) { call_back(); }, py::default_call_policies(),
                              boost::mpl::vector<void, int>());
        it = std::make_unique<foo>(1h, on_message);
        it->start();
        gil_release while_it_begins;
        ASSERT_TRUE(arrives(entered_.get_future()));
    }

    void TearDown() override {
        let_it_go_on();
        left_.get_future().wait_for(long_enough);  // nobody else waits for a Foo that was dropped
    }

    void let_it_go_on() {
        if (!released_) {
            go_on_.set_value();
            released_ = true;
        }
    }

    /// Lets it go on from another thread, once that thread has had the GIL itself.
    [[nodiscard]] std::future<void> let_it_go_on_once_the_gil_is_free() {
        return std::async(std::launch::async, [this] {
            gil_acquire proof_that_it_is_free;
            let_it_go_on();
        });
    }

    std::unique_ptr<foo> it;
    std::atomic<bool> returned = false;

private:
    void call_back() {
        gil_release while_waiting;
        entered_.set_value();
        go_on_.get_future().wait_for(long_enough);
        returned = true;
        left_.set_value();
    }

    std::promise<void> entered_;
    std::promise<void> go_on_;
    std::promise<void> left_;
    std::atomic<bool> released_ = false;
};

TEST_F(FooInItsCallback, StopReleasesTheGilWhileItWaitsForTheCallback) {
    gil_acquire held_by_the_caller;
    auto const other = let_it_go_on_once_the_gil_is_free();
    it->stop();
    EXPECT_TRUE(returned);
    EXPECT_TRUE(gil_held());
    EXPECT_TRUE(arrives(other));
}

TEST_F(FooInItsCallback, TheDestructorDoesNotWaitForTheCallback) {
    gil_acquire held_by_the_caller;
    it.reset();
    EXPECT_FALSE(returned);
    EXPECT_TRUE(gil_held());
}

TEST_F(FooInItsCallback, TheDestructorOnANativeThreadDoesNotWaitForTheCallbackEither) {
    std::thread([dying = std::move(it)] {}).join();
    EXPECT_FALSE(returned);
}

TEST_F(FooInItsCallback, WaitReleasesTheGil) {
    gil_acquire held_by_the_caller;
    auto const other = let_it_go_on_once_the_gil_is_free();
    EXPECT_TRUE(it->wait(1, long_enough));
    EXPECT_TRUE(returned);
    EXPECT_TRUE(gil_held());
    EXPECT_TRUE(arrives(other));
}

TEST_F(FooInItsCallback, AnotherFooGoesOn) {
    gil_acquire gil;
    foo other(1ms);
    other.start();
    EXPECT_TRUE(other.wait(20, long_enough));
    EXPECT_FALSE(returned);
}

TEST(Foo, StartReturnsWithTheGilHeldAndTheFirstMessageThere) {
    gil_acquire gil;
    foo it(1h);
    it.start();
    EXPECT_TRUE(gil_held());
    EXPECT_TRUE(it.running());
    EXPECT_EQ(py::len(it.messages()), 1);
}

TEST(Foo, DeliversItsCallbacksOnceTheGilIsReleased) {
    gil_acquire gil;
    foo it(1h, py::eval("lambda n: None"));
    it.start();
    EXPECT_EQ(py::len(it.messages()), 0);
    EXPECT_TRUE(it.wait(1, long_enough));
    EXPECT_EQ(py::len(it.messages()), 1);
}

TEST(Foo, StartsAndStopsOnAThreadThatHoldsNoGil) {
    std::unique_ptr<foo> it;
    {
        gil_acquire gil;
        it = std::make_unique<foo>(1h);
    }
    it->start();
    it->stop();
    EXPECT_FALSE(gil_held());
    gil_acquire gil;
    EXPECT_EQ(py::len(it->messages()), 1);
    it.reset();
}

TEST(Foo, DeliversNothingWhileMainHoldsTheGil) {
    std::optional<foo> it;
    gil_acquire main_holds;
    it.emplace(1ms);
    {
        gil_release to_begin;
        it->start();
    }
    ASSERT_TRUE(it->wait(1, long_enough));
    py::list const messages = it->messages();
    Py_ssize_t const before = py::len(messages);
    std::promise<void> never;
    never.get_future().wait_for(a_while);  // many intervals, and the GIL is ours
    EXPECT_EQ(py::len(messages), before);

    EXPECT_TRUE(it->wait(before + 20, long_enough));  // once it is released, all that fell due
}

TEST(Foo, DeliversEverythingThatFellDueWhileMainHeldTheGilAndNoMore) {
    gil_acquire main_holds;
    foo it(1ms);
    auto const begin = std::chrono::steady_clock::now();
    it.start();
    auto const started = std::chrono::steady_clock::now();
    std::promise<void> never;
    never.get_future().wait_for(a_while);
    auto const held_for = std::chrono::steady_clock::now() - started;
    it.stop();
    auto const end = std::chrono::steady_clock::now();
    EXPECT_GE(py::len(it.messages()), held_for / 1ms);
    EXPECT_LE(py::len(it.messages()), (end - begin) / 1ms + 1);
}

TEST(Foo, HoldsTheGilAsItCallsBackAndRestoresItAfterAnException) {
    gil_acquire gil;
    std::atomic<bool> held = false;
    foo it(1h, py::make_function(
                   [&](int) {
                       held = gil_held();
                       throw std::runtime_error("from C++");
                   },
                   py::default_call_policies(), boost::mpl::vector<void, int>()));
    it.start();
    EXPECT_FALSE(it.wait(2, long_enough));
    EXPECT_TRUE(held);
    EXPECT_EQ(std::string(py::extract<std::string>(py::str(it.error()))), "from C++");
    EXPECT_FALSE(it.running());

    foo next(1h);  // the same thread delivers again
    next.start();
    EXPECT_TRUE(next.wait(1, long_enough));
}

TEST(Foo, FreesItsListUnderTheGilWhenItDiesOnANativeThread) {
    std::atomic<int> died_with_gil = -1;
    std::unique_ptr<foo> it;
    {
        gil_acquire gil;
        it = std::make_unique<foo>(1h);
        it->messages().append(
            py::object(py::handle<>(PyCapsule_New(&died_with_gil, nullptr, [](PyObject* self) {
                *static_cast<std::atomic<int>*>(PyCapsule_GetPointer(self, nullptr)) =
                    gil_held() ? 1 : 0;
            }))));
    }
    std::thread([dying = std::move(it)] {}).join();
    EXPECT_EQ(died_with_gil, 1);
}

TEST(Foo, ManyLoseNoMessage) {
    gil_acquire gil;
    std::vector<std::unique_ptr<foo>> foos;
    for (int i = 0; i < 200; ++i) {
        foos.push_back(std::make_unique<foo>(1ms));
        foos.back()->start();
    }
    for (auto const& each : foos) {
        ASSERT_TRUE(each->wait(50, long_enough));
    }
    for (auto const& each : foos) {
        each->stop();
        py::list const messages = each->messages();
        for (Py_ssize_t n = 0; n < py::len(messages); ++n) {
            ASSERT_EQ(py::extract<Py_ssize_t>(messages[n])(), n);
        }
    }
}

TEST(Foo, RefusesAnIntervalThatIsNone) {
    gil_acquire gil;
    EXPECT_THAT([] { foo(0s); }, testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr(
                                     "positive, finite number of seconds, not 0.0")));
    EXPECT_THROW(foo(-1s), std::invalid_argument);
    EXPECT_THROW(foo(foo::longest_interval * 2), std::invalid_argument);
}

TEST(Foo, IsTakenAndReturnedByAnotherBoostPythonModule) {
    python().run_string("import sys; sys.path.insert(0, '" FOO_USER_FOLDER "')");
    python().run_string(R"(
import foo_user
from Foo import Foo

mine = Foo(0.25, None)
assert foo_user.interval_of(mine) == 0.25
assert foo_user.same(mine) is mine
theirs = foo_user.hourly()
assert type(theirs) is Foo
theirs.start()
assert theirs.wait(1, 20)
theirs.stop()
assert theirs.messages == [0]
)");
}

TEST(Foo, TakenFromPythonMayBeDroppedByANativeThread) {
    python().run_string("import sys; sys.path.insert(0, '" FOO_USER_FOLDER "')");
    python().run_string(R"(
import foo_user, weakref
from Foo import Foo

class Sub(Foo):
    pass

for i in range(200):
    foo = Sub(0.001, lambda n: None)
    foo.start()
    known = weakref.ref(foo)
    foo_user.keep_this(foo)
    assert foo_user.same(foo) is foo
    del foo
    assert known() is not None
    foo_user.let_go_on_a_native_thread()
    assert known() is None
)");
}

TEST(Foo, ThatCppOwnsIsNotTakenApartByPythonsCollector) {
    python().run_string("import sys; sys.path.insert(0, '" FOO_USER_FOLDER "')");
    python().run_string(R"(
import foo_user, gc, weakref

class Holder:
    def __init__(self):
        self.calls = []
        self.foo = foo_user.keep(0.001, self)
    def __call__(self, n):
        self.calls.append(n)

holder = Holder()
foo, known = holder.foo, weakref.ref(holder)
foo.start()
del holder, foo
gc.collect()
foo = known().foo
assert foo.wait(len(foo) + 5, 20), foo.error
foo.stop()
assert foo.messages == known().calls
foo_user.let_go()
del foo
gc.collect()
assert known() is None
)");
}

}  // namespace
