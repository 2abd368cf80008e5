// log_sink, before Python starts, while it runs and after its end; and the interpreter's output.
#include "kept_records.hpp"
#include <handoff/logging.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using handoff::pushed;
using handoff::tests::keep_records;
using handoff::tests::open;
using testing::AllOf;
using testing::HasSubstr;

TEST(LogSink, KeepsWhatWasLoggedBeforePythonStarted) {
    handoff::log_sink const sink;
    handoff::logger const log(sink, "early");
    log.info("one");
    EXPECT_FALSE(sink.flush());
    EXPECT_EQ(sink.counts().waiting, 1U);
    handoff::interpreter python;
    python.start();
    python.run_string(keep_records);
    open(python, sink);
    log.info("two");
    EXPECT_TRUE(sink.flush());
    python.run_string("assert [r.getMessage() for r in kept] == ['one', 'two'], kept");
    python.run_string("assert kept[0].created <= kept[1].created");
    EXPECT_EQ(sink.counts().delivered, 2U);
}

TEST(LogSink, RefusesAfterPythonsEndAndCounts) {
    handoff::log_sink const sink;
    handoff::logger const log(sink, "late");
    {
        handoff::interpreter python;
        python.start();
        open(python, sink);
        EXPECT_EQ(log.info("in time"), pushed::taken);
    }
    EXPECT_EQ(sink.counts().delivered, 1U);
    EXPECT_EQ(log.info("late"), pushed::closed);
    EXPECT_EQ(sink.counts().refused, 1U);
}

TEST(LogSink, DeliversWhatWasLoggedWhenItsLastCopyGoes) {
    handoff::interpreter python;
    python.start();
    python.run_string(keep_records);
    {
        handoff::log_sink const sink;
        open(python, sink);
        handoff::logger const log(sink, "gone");
        for (int each = 0; each < 1000; ++each) {
            log.info("x");
        }
    }
    python.run_string("import atexit; first = len(kept)");
    python.run_string("atexit.register(lambda: print(len(kept)))");
    // The queue is still being delivered: it is waited for at Python's end, which nobody sees here.
    python.run_string("import time\nwhile len(kept) < 1000: time.sleep(0.001)");
}

TEST(LogSink, DoesNotWaitUnderALockWithADroppingPolicy) {
    handoff::log_sink const sink({.capacity = 4});
    handoff::logger const log(sink, "full");
    for (int each = 0; each < 10; ++each) {
        EXPECT_EQ(log.info("x"), pushed::taken);
    }
    EXPECT_EQ(sink.counts().dropped, 6U);
    EXPECT_EQ(sink.counts().waiting, 4U);
}

TEST(LogSink, BlocksForItsPatienceAtMost) {
    handoff::log_sink const sink({.capacity = 1,
                                  .policy = handoff::when_full::block,
                                  .patience = std::chrono::milliseconds(20)});
    handoff::logger const log(sink, "full");
    EXPECT_EQ(log.info("x"), pushed::taken);
    auto const before = std::chrono::steady_clock::now();
    EXPECT_EQ(log.info("x"), pushed::refused);
    EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(20));
    EXPECT_EQ(sink.counts().dropped, 1U);
}

template <class Work>
std::string refusal(Work const& work) {
    try {
        work();
    } catch (std::invalid_argument const& wrong) {
        return wrong.what();
    }
    return "none";
}

TEST(LogSink, NamesWhatIsWrong) {
    handoff::log_sink const sink;
    EXPECT_THAT(refusal([] { static_cast<void>(handoff::log_level_from("LOUD")); }),
                HasSubstr("\"LOUD\" is not a log level: use DEBUG"));
    EXPECT_THAT(refusal([] { static_cast<void>(handoff::log_level_from(0)); }),
                HasSubstr("positive number, not 0"));
    EXPECT_THAT(refusal([&] { sink.set_level(static_cast<handoff::log_level>(-3)); }),
                HasSubstr("not -3"));
    EXPECT_THAT(refusal([&] { static_cast<void>(sink.name("a\xff")); }),
                HasSubstr("must be UTF-8"));
    EXPECT_THAT(refusal([&] { static_cast<void>(sink.name(std::string_view("a\0b", 3))); }),
                AllOf(HasSubstr("without a null byte"), HasSubstr("\"a\\x00b\"")));
    EXPECT_THAT(refusal([] { handoff::log_sink const none({.capacity = 0}); }),
                HasSubstr("capacity must be a positive number"));
    EXPECT_THAT(
        refusal([] { handoff::log_sink const none({.patience = std::chrono::milliseconds(-1)}); }),
        HasSubstr("patience must not be negative, and is -1 ms"));
    EXPECT_EQ(refusal([&] { static_cast<void>(sink.name("géophone.3")); }), "none");
    EXPECT_EQ(handoff::log_level_from("warning"), handoff::log_level::warning);
}

TEST(LogSink, LevelIsLookedAtFirst) {
    handoff::log_sink const sink;
    handoff::logger const log(sink, "level");
    sink.set_level(handoff::log_level::warning);
    EXPECT_FALSE(log.is_enabled(handoff::log_level::info));
    EXPECT_EQ(log.info("x"), pushed::taken);
    EXPECT_EQ(sink.counts().waiting, 0U);
    EXPECT_EQ(log.warning("x"), pushed::taken);
    EXPECT_EQ(sink.counts().waiting, 1U);
}

/// What an interpreter's Python has written.
class output {
public:
    void operator()(std::string_view text) {
        EXPECT_FALSE(handoff::gil_held());
        std::scoped_lock const held(mutex_);
        text_.append(text);
    }
    [[nodiscard]] std::string text() {
        std::scoped_lock const held(mutex_);
        return text_;
    }

private:
    std::mutex mutex_;
    std::string text_;
};

TEST(InterpreterOutput, GoesToTheApplicationsFunctions) {
    output out;
    output err;
    {
        handoff::interpreter python({.output = std::ref(out), .errors = std::ref(err)});
        python.start();
        python.run_string("import sys; print('a', 'é\\U0001F600'); print('b', file=sys.stderr)");
        EXPECT_EQ(out.text(), "a é\U0001F600\n");
        EXPECT_EQ(err.text(), "b\n");
        python.run_string("assert not sys.stdout.isatty() and sys.stdout.encoding == 'utf-8'");
        python.run_string("print(sys.__stdout__ is sys.stdout, sys.stdout.name, flush=True)");
        python.run_string(
            "import io\n"
            "try: sys.stdout.fileno()\n"
            "except io.UnsupportedOperation as refused: print(refused)");
        python.run_string("sys.stdout.buffer.write(b'raw\\n'); print('\\udcff')");
        python.run_string("import atexit; atexit.register(print, 'end')");
    }
    EXPECT_EQ(out.text(), "a é\U0001F600\nTrue <stdout>\nfileno\nraw\n\\udcff\nend\n");
}

TEST(InterpreterOutput, AnExceptionOfTheFunctionIsRaisedWhereItWasWritten) {
    handoff::interpreter python({.output = [](std::string_view text) {
        if (text == "no") {
            throw std::runtime_error("the window is closed");
        }
    }});
    python.start();
    try {
        python.run_string("print('no')");
        FAIL() << "it was not raised";
    } catch (handoff::python_error const& raised) {
        EXPECT_THAT(raised.what(), HasSubstr("RuntimeError: the window is closed"));
    }
    python.run_string("print('yes')");
}

TEST(InterpreterOutput, MayTakeALockThatAThreadHoldsWhichWantsTheGil) {
    std::mutex window;
    output out;
    handoff::interpreter python({.output = [&](std::string_view text) {
        std::scoped_lock const held(window);
        out(text);
    }});
    python.start();
    std::jthread const other([&] {
        for (int each = 0; each < 1000; ++each) {
            std::scoped_lock const held(window);
            handoff::gil_acquire gil;
        }
    });
    python.run_string("for _ in range(1000): print('x')");
    EXPECT_EQ(out.text().size(), 2000U);
}

TEST(InterpreterOutput, AnErrorOfPythonsThatTheFunctionThrowsStaysThatError) {
    handoff::interpreter* runs = nullptr;
    handoff::interpreter python({.output = [&](std::string_view text) {
        if (text == "no") {
            runs->run_string("raise KeyError('window')");
        }
    }});
    runs = &python;
    python.start();
    EXPECT_THROW(python.run_string("try: print('no')\n"
                                   "except KeyError: raise FileNotFoundError"),
                 handoff::python_error);
    python.run_string(
        "try: print('no')\n"
        "except KeyError as raised: assert raised.args == ('window',)");
}

TEST(InterpreterOutput, OfADaemonThreadHasEndedWhenStopReturns) {
    std::promise<void> begun;
    std::atomic<bool> in_function = false;
    handoff::interpreter python({.output = [&](std::string_view text) {
        if (text == "daemon") {
            in_function = true;
            begun.set_value();
            while (Py_IsInitialized() != 0) {  // for longer than Python lives
                std::this_thread::yield();
            }
            in_function = false;
        }
    }});
    python.start();
    python.run_string(
        "import threading\n"
        "threading.Thread(target=print, args=['daemon'], kwargs={'end': ''}, daemon=True).start()");
    begun.get_future().wait();
    python.stop();
    EXPECT_FALSE(in_function);
}

TEST(InterpreterOutput, ThatNeverReturnsIsSaidByStop) {
    std::promise<void> begun;
    handoff::interpreter python(
        {.stop_grace = std::chrono::milliseconds(50), .output = [&](std::string_view /*text*/) {
             begun.set_value();
             for (;;) {
                 pause();
             }
         }});
    python.start();
    python.run_string(
        "import threading\n"
        "threading.Thread(target=print, args=['x'], daemon=True).start()");
    begun.get_future().wait();
    try {
        python.stop();
        FAIL() << "it has returned";
    } catch (std::runtime_error const& said) {
        EXPECT_THAT(said.what(), HasSubstr("still in the application's function"));
    }
}

TEST(InterpreterInAForksChild, HasNoCallsOfTheParentsThreads) {
    handoff::interpreter python({.stop_grace = std::chrono::hours(1)});
    python.start();
    std::atomic<bool> goes_on = true;
    std::vector<std::jthread> callers;
    callers.reserve(2);
    for (int each = 0; each < 2; ++each) {
        callers.emplace_back([&] {
            while (goes_on) {
                python.run_string("pass");
            }
        });
    }
    for (int each = 0; each < 50; ++each) {
        python.run_string(
            "import os, warnings\n"
            "warnings.simplefilter('ignore', DeprecationWarning)\n"
            "child = os.fork()\n"
            "in_child = child == 0\n");
        if (python.call<bool>("__main__", "in_child.__bool__")) {
            python.run_string("pass");
            python.stop();  // waits for no call of the parent's
            _exit(0);
        }
        python.run_string("assert os.waitpid(child, 0)[1] == 0");
    }
    goes_on = false;
}

}  // namespace
