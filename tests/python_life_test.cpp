// Python's life in a process: what may come before it, how it ends, and that there is one.
//
// Each case needs a process in which Python has not been started, which ctest gives it.
#include <handoff/foo.hpp>
#include <handoff/gil.hpp>
#include <handoff/host.hpp>
#include <handoff/interpreter.hpp>

#include <boost/python.hpp>

#include <boost/mpl/vector.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <pthread.h>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace {

using handoff::host;
using handoff::interpreter;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

int run(host& python, std::string statements) {
    std::array<std::string, 3> words{"python", "-c", std::move(statements)};
    std::array<char*, 4> argv{words[0].data(), words[1].data(), words[2].data(), nullptr};
    return python.run(3, argv.data());
}

TEST(HostLife, ReturnsTheExitCode) {
    host python;
    EXPECT_EQ(run(python, "raise ValueError"), 1);
}

TEST(HostLifeDeathTest, EndsWithTheCodeOfSysExit) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            host python;
            std::exit(run(python, "import sys; sys.exit(7)"));  // as main does; returns since 3.14
        },
        testing::ExitedWithCode(7), "");
}

/// Works with Python until it is asked to stop, which it does not hear: it waits for a line.
void read_lines(std::promise<std::thread::native_handle_type> reads) {
    handoff::gil_registration python("reader");
    flockfile(stdin);  // as a read does for as long as it waits
    reads.set_value(pthread_self());
    for (;;) {
        pause();
    }
}

/// Its import leaves such a thread, abandoned as if the gate's grace were over.
BOOST_PYTHON_MODULE(stuck) {
    std::promise<std::thread::native_handle_type> reads;
    auto reader = reads.get_future();
    handoff::gil_release while_it_registers;
    std::thread(&read_lines, std::move(reads)).detach();
    handoff::gil_gate::abandon(reader.get());
}

/// Static, as an application's objects are that an abandoned thread may still use.
struct still_in_use {
    still_in_use() = default;
    ~still_in_use() { std::abort(); }
    still_in_use(still_in_use const&) = delete;
    still_in_use& operator=(still_in_use const&) = delete;
};

/// Runs statements after that import. Something is left in a buffer of C's.
int run_beside_an_abandoned_thread(std::string const& statements) {
    static still_in_use const by_the_thread;
    alarm(20);  // seconds, for what ends at once
    static_cast<void>(std::setvbuf(stderr, nullptr, _IOFBF, BUFSIZ));
    std::fputs("was in the buffer", stderr);
    host python;
    python.add_module("stuck", &PyInit_stuck);
    return run(python, "import stuck\n" + statements);
}

TEST(HostLifeDeathTest, EndsWithTheCodeOfSysExitWhenAThreadWasAbandoned) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(std::exit(run_beside_an_abandoned_thread("raise SystemExit(7)")),
                testing::ExitedWithCode(7), HasSubstr("was in the buffer"));
}

TEST(HostLifeDeathTest, DoesNotReturnWhenAThreadWasAbandoned) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            run_beside_an_abandoned_thread("raise ValueError");
            std::abort();
        },
        testing::ExitedWithCode(1), HasSubstr("was in the buffer"));
}

TEST(HostLife, ImportsTheModulesThatWereAdded) {
    host python;
    python.add_module("Foo", &PyInit_Foo).add_module("Second", &PyInit_Foo);
    EXPECT_EQ(run(python, "import Foo, sys; assert 'Second' in sys.builtin_module_names"), 0);
}

TEST(HostLife, RunsOnceInAProcess) {
    host python;
    EXPECT_EQ(run(python, "pass"), 0);
    EXPECT_THAT([&] { run(python, "pass"); },
                ThrowsMessage<std::logic_error>(HasSubstr("started in this process before")));
    interpreter another;
    EXPECT_THROW(another.start(), std::logic_error);
}

TEST(HostLife, DoesNotRunInAPythonThatSomebodyElseStarted) {
    Py_Initialize();
    host python;
    EXPECT_THROW(python.add_module("Foo", &PyInit_Foo), std::logic_error);
    EXPECT_THROW(run(python, "pass"), std::logic_error);
    Py_FinalizeEx();
}

TEST(HostLife, RefusesAModuleNameTwice) {
    host python;
    python.add_module("Foo", &PyInit_Foo);
    EXPECT_THAT([&] { python.add_module("Foo", &PyInit_Foo); },
                ThrowsMessage<std::invalid_argument>(
                    AllOf(HasSubstr("'Foo'"), HasSubstr("built in already"))));
}

TEST(HostLife, RefusesTheNameOfABuiltInModule) {
    host python;
    EXPECT_THROW(python.add_module("sys", &PyInit_Foo), std::invalid_argument);
}

TEST(HostLife, RefusesANameThatCannotBeImported) {
    host python;
    EXPECT_THAT([&] { python.add_module("my-module", &PyInit_Foo); },
                ThrowsMessage<std::invalid_argument>(HasSubstr("'my-module'")));
    EXPECT_THROW(python.add_module("", &PyInit_Foo), std::invalid_argument);
    EXPECT_THROW(python.add_module("1st", &PyInit_Foo), std::invalid_argument);
}

TEST(HostLife, RefusesAModuleWithoutAFunction) {
    host python;
    EXPECT_THROW(python.add_module("Foo", nullptr), std::invalid_argument);
}

TEST(HostLife, RefusesAModuleAfterTheRun) {
    host python;
    run(python, "pass");
    EXPECT_THAT([&] { python.add_module("Foo", &PyInit_Foo); },
                ThrowsMessage<std::logic_error>(HasSubstr("before Python starts")));
}

/// The installed Python, as it is; each case says what of it was otherwise when ours was linked.
class UpdatedPython : public testing::Test {
protected:
    void SetUp() override {
        std::ofstream(path) << "python";
        struct stat its{};
        ASSERT_EQ(stat(path.c_str(), &its), 0);
        size = its.st_size;
        modified = its.st_mtime;
    }
    void TearDown() override { std::filesystem::remove(path); }

    /// What a host says that was linked with a Python like this.
    [[nodiscard]] std::string said(long long as_long, long long as_old) const {
        testing::internal::CaptureStderr();
        host python(handoff::detail::linked_python(path.c_str(), as_long, as_old));
        EXPECT_EQ(run(python, "pass"), 0);
        return testing::internal::GetCapturedStderr();
    }

    std::filesystem::path path = testing::TempDir() + "python." + std::to_string(getpid());
    long long size = 0;
    long long modified = 0;
};

TEST_F(UpdatedPython, IsNamedByAHostThatWasLinkedWithTheOneBefore) {
    EXPECT_THAT(said(size, modified - 1),
                AllOf(HasSubstr(path.string() + " was updated after this program was built"),
                      HasSubstr("HANDOFF_LIBPYTHON=shared")));
}

TEST_F(UpdatedPython, IsKnownByItsSizeToo) {
    EXPECT_THAT(said(size + 1, modified), HasSubstr("was updated"));
}

TEST_F(UpdatedPython, OneThatIsTheSameSaysNothing) { EXPECT_EQ(said(size, modified), ""); }

TEST_F(UpdatedPython, OneThatIsNotThereSaysNothing) {
    std::filesystem::remove(path);
    EXPECT_EQ(said(size, modified - 1), "");
}

TEST_F(UpdatedPython, IsNamedByAnApplication) {
    testing::internal::CaptureStderr();
    interpreter python(handoff::detail::linked_python(path.c_str(), size, modified - 1));
    python.start();
    python.stop();
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("was updated"));
}

TEST(LinkedPython, IsTheOneThatIsInstalled) {
#ifdef HANDOFF_LINKED_PYTHON
    testing::internal::CaptureStderr();
    HANDOFF_PYTHON_OF_THIS_PROGRAM.say_if_another_is_installed();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
#else
    GTEST_SKIP() << "libpython is shared";
#endif
}

TEST(InterpreterLife, RefusesToRunBeforeTheStart) {
    interpreter python;
    EXPECT_THAT([&] { python.run_string("pass"); },
                ThrowsMessage<std::logic_error>(HasSubstr("start() comes first")));
    EXPECT_FALSE(python.running());
}

TEST(InterpreterLife, RefusesToRunAfterTheStop) {
    interpreter python;
    python.start();
    EXPECT_TRUE(python.running());
    python.stop();
    python.stop();
    EXPECT_FALSE(python.running());
    EXPECT_THAT([&] { python.run_string("pass"); },
                ThrowsMessage<std::logic_error>(HasSubstr("has been stopped")));
}

TEST(InterpreterLife, DoesNotStartAgain) {
    interpreter python;
    python.start();
    python.stop();
    EXPECT_THROW(python.start(), std::logic_error);
}

TEST(InterpreterLife, AFailedStartIsAnExceptionWithTheReason) {
    setenv("PYTHONHOME", "/nonexistent", 1);
    interpreter python;
    EXPECT_THAT([&] { python.start(); },
                ThrowsMessage<std::runtime_error>(HasSubstr("cannot start Python")));
    EXPECT_FALSE(python.running());
}

TEST(InterpreterLife, ReadsNoEnvironmentWhenIsolated) {
    setenv("PYTHONHOME", "/nonexistent", 1);
    interpreter python({.isolated = true});
    python.start();
    python.run_string("import sys; assert sys.flags.isolated");
}

TEST(InterpreterLife, PassesItsArgumentsOn) {
    interpreter python({.arguments = {"robot", "--speed", "3"}});
    python.start();
    python.run_string("import sys; assert sys.argv == ['robot', '--speed', '3'], sys.argv");
}

TEST(InterpreterLife, StopsEveryFooInOrder) {
    using namespace std::chrono_literals;
    using handoff::foo;
    std::promise<long> messages;
    interpreter python;
    python.add_module("Foo", &PyInit_Foo);
    python.start();
    python.run_string(R"(
import atexit, time
atexit.register(lambda: report(len(f.messages) >= int((stopped - started) / 0.001)))
from Foo import Foo
f = Foo(0.001, None)
f.start()
started = time.monotonic()
assert f.wait(50, 20)
)");
    python.invoke([&] {
        boost::python::import("__main__").attr("report") = boost::python::make_function(
            [&](bool all) { messages.set_value(all ? 1 : 0); },
            boost::python::default_call_policies(), boost::mpl::vector<void, bool>());
    });
    python.run_string("stopped = time.monotonic()");
    python.stop();
    EXPECT_EQ(messages.get_future().get(), 1);
}

TEST(InterpreterLife, StopWaitsForTheCallsInProgress) {
    using namespace std::chrono_literals;
    interpreter python;
    python.start();
    std::promise<void> entered;
    std::promise<void> go_on;
    bool returned = false;
    std::thread caller([&] {
        python.invoke([&] {
            handoff::gil_release while_waiting;
            entered.set_value();
            go_on.get_future().wait();
            python.run_string("pass");  // a call within a call goes on to its end
            returned = true;
        });
    });
    entered.get_future().wait();
    auto release = std::async(std::launch::async, [&] {
        // stop() has begun when calls are refused.
        while (python.running()) {
            std::this_thread::yield();
        }
        EXPECT_THROW(python.run_string("pass"), std::logic_error);
        go_on.set_value();
    });
    python.stop();
    EXPECT_TRUE(returned);
    release.get();
    caller.join();
}

/// By a call that does not return.
std::promise<void>& entered() {
    static std::promise<void> only;
    return only;
}

BOOST_PYTHON_MODULE(late) {
    boost::python::def("entered", +[] { entered().set_value(); });
}

/// What an application's threads are in when it ends: serving, until the process ends.
class LateCallDeathTest : public testing::Test {
protected:
    void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

    /// Begins `work`, which says late.entered(), on another thread; then stops, as main() does
    /// that reports what is thrown, and ends.
    template <class Work>
    [[noreturn]] static void end_during(
        Work work, interpreter::options options, void (*meanwhile)() = [] {}) {
        static still_in_use const by_the_call;
        alarm(20);  // seconds, for what ends at once
        {
            interpreter python(std::move(options));
            python.add_module("late", &PyInit_late);
            python.start();
            python.run_string(
                "import late, time\n"
                "def serve():\n"
                "    late.entered()\n"
                "    while True: time.sleep(.001)\n");
            std::thread([&] {
                pthread_setname_np(pthread_self(), "server");
                work(python);
            }).detach();
            entered().get_future().wait();
            meanwhile();
            try {
                python.stop();
            } catch (std::runtime_error const& late) {
                std::fprintf(stderr, "thrown: %s\n", late.what());
            }
            EXPECT_FALSE(python.running());
            python.stop();  // does nothing any more
        }
        std::exit(3);
    }
};

TEST_F(LateCallDeathTest, IsNamedWhenItIsAFunctionThenStopThrows) {
    EXPECT_EXIT(end_during([](interpreter& python) { python.call("__main__", "serve"); },
                           {.stop_grace = std::chrono::milliseconds(50)}),
                testing::ExitedWithCode(3),
                AllOf(HasSubstr("handoff: at stop(), __main__.serve() in thread \"server\" was "
                                "still in progress after 0.05 s"),
                      HasSubstr("thrown: Python was not finalized: __main__.serve() in thread "
                                "\"server\" was still in progress after 0.05 s")));
}

TEST_F(LateCallDeathTest, IsNamedWhenItIsAString) {
    EXPECT_EXIT(end_during([](interpreter& python) { python.run_string("serve()", "<server>"); },
                           {.stop_grace = std::chrono::seconds(0)}),
                testing::ExitedWithCode(3), HasSubstr("run_string(\"<server>\") in thread"));
}

TEST_F(LateCallDeathTest, IsNamedOnceWithTheNumberOfCallsThatAreTheSame) {
    EXPECT_EXIT(
        end_during(
            [](interpreter& python) {
                std::thread([&python] {
                    pthread_setname_np(pthread_self(), "server");
                    python.run_string("ready = True\nwhile True: time.sleep(.001)", "<server>");
                }).detach();
                python.run_string("while 'ready' not in globals(): time.sleep(.001)\nserve()",
                                  "<server>");
            },
            {.stop_grace = std::chrono::seconds(0)}),
        testing::ExitedWithCode(3),
        HasSubstr("run_string(\"<server>\") in thread \"server\" was still in progress "
                  "after 0 s, in 2 calls; it goes on"));
}

TEST_F(LateCallDeathTest, IsNamedWhenItIsAFile) {
    auto const script = std::filesystem::path(testing::TempDir()) / "handoff_late.py";
    std::ofstream(script) << "serve()\n";
    EXPECT_EXIT(end_during([=](interpreter& python) { python.run_file(script); },
                           {.stop_grace = std::chrono::seconds(0)}),
                testing::ExitedWithCode(3), HasSubstr("run_file(\"" + script.string() + "\") in"));
    std::filesystem::remove(script);
}

TEST_F(LateCallDeathTest, MayHoldTheGilForEver) {
    EXPECT_EXIT(end_during(
                    [](interpreter& python) {
                        python.invoke([] {
                            entered().set_value();
                            for (;;) {
                                pause();
                            }
                        });
                    },
                    {.stop_grace = std::chrono::milliseconds(50)}),
                testing::ExitedWithCode(3), HasSubstr("invoke() in thread \"server\""));
}

TEST_F(LateCallDeathTest, IsNotWaitedForAfterCtrlC) {
    EXPECT_EXIT(end_during([](interpreter& python) { python.run_string("serve()", "<server>"); },
                           {.signal_handlers = true, .stop_grace = std::chrono::hours(1)},
                           [] {
                               std::thread([] {
                                   // Until stop() has begun to wait, Python's own handler hears it.
                                   for (;;) {
                                       raise(SIGINT);
                                       std::this_thread::yield();
                                   }
                               }).detach();
                           }),
                testing::ExitedWithCode(3),
                HasSubstr("run_string(\"<server>\") in thread \"server\" was still in progress at "
                          "Ctrl-C"));
}

TEST_F(LateCallDeathTest, IsNamedByTheDestructorToo) {
    EXPECT_EXIT(
        {
            alarm(20);
            static still_in_use const by_the_call;
            try {
                interpreter python({.stop_grace = std::chrono::milliseconds(50)});
                python.add_module("late", &PyInit_late);
                python.start();
                std::thread([&] {
                    // The interpreter is gone when this call within a call returns.
                    python.run_string(
                        "import late, time\n"
                        "late.entered()\n"
                        "while True: time.sleep(.001)");
                }).detach();
                entered().get_future().wait();
                throw std::runtime_error("disk full");
            } catch (std::runtime_error const& failure) {
                std::fprintf(stderr, "main: %s\n", failure.what());
            }
            std::exit(3);
        },
        testing::ExitedWithCode(3),
        AllOf(HasSubstr("run_string(\"<string>\") in thread"), HasSubstr("main: disk full")));
}

TEST_F(LateCallDeathTest, MayReturnWhenTheInterpreterIsGone) {
    EXPECT_EXIT(
        {
            alarm(20);
            std::promise<void> go_on;
            std::thread caller;
            {
                interpreter python({.stop_grace = std::chrono::milliseconds(0)});
                python.start();
                caller = std::thread([&] {
                    python.invoke([&] {
                        handoff::gil_release while_waiting;
                        entered().set_value();
                        go_on.get_future().wait();
                    });
                });
                entered().get_future().wait();
            }
            go_on.set_value();
            caller.join();
            std::exit(3);
        },
        testing::ExitedWithCode(3), HasSubstr("invoke() in thread"));
}

TEST(InterpreterLife, StopIsRefusedWithinACall) {
    interpreter python;
    python.start();
    EXPECT_THAT([&] { python.invoke([&] { python.stop(); }); },
                ThrowsMessage<std::logic_error>(HasSubstr("would wait for itself")));
    EXPECT_TRUE(python.running());
}

TEST(InterpreterLife, StopIsRefusedWithTheGilHeld) {
    interpreter python;
    python.start();
    {
        handoff::gil_acquire main_holds;
        EXPECT_THAT([&] { python.stop(); },
                    ThrowsMessage<std::logic_error>(HasSubstr("release the GIL first")));
        EXPECT_TRUE(handoff::gil_held());
    }
    EXPECT_TRUE(python.running());
    python.stop();
    EXPECT_FALSE(python.running());
}

TEST(InterpreterLifeDeathTest, ADestructorThatCannotStopPythonSaysWhy) {
    EXPECT_EXIT(
        {
            auto python = std::make_unique<interpreter>();
            python->start();
            std::thread([&] { python.reset(); }).join();
            std::_Exit(3);
        },
        testing::ExitedWithCode(3),
        HasSubstr("~interpreter() leaves Python as it is: stop() belongs to the thread"));
}

TEST(GilAcquireDeathTest, WhereThereIsNoPythonSaysSo) {
    EXPECT_EXIT(
        { handoff::gil_acquire const held; }, testing::KilledBySignal(SIGABRT),
        HasSubstr("there is no Python"));
}

TEST(InterpreterLife, StopIsRefusedOnAnotherThread) {
    interpreter python;
    python.start();
    auto elsewhere = std::async(std::launch::async, [&] { python.stop(); });
    EXPECT_THAT([&] { elsewhere.get(); },
                ThrowsMessage<std::logic_error>(HasSubstr("the thread that called start()")));
    EXPECT_TRUE(python.running());
}

TEST(InterpreterLife, TheThreadThatStartsItIsPythonsMainThread) {
    interpreter python;
    python.start();
    std::thread([&] {
        python.run_string(
            "import threading\n"
            "assert threading.main_thread().ident != threading.get_ident()");
    }).join();
    python.stop();
}

TEST(InterpreterLife, FindsModulesInTheFoldersGiven) {
    auto const folder = std::filesystem::path(testing::TempDir()) / "handoff_modules";
    std::filesystem::create_directory(folder);
    std::ofstream(folder / "handoff_geometry.py") << "def area(a, b): return a * b\n";
    interpreter python({.module_folders = {folder}});
    python.start();
    EXPECT_DOUBLE_EQ(python.call<double>("handoff_geometry", "area", 2.0, 3.0), 6.0);
    std::filesystem::remove_all(folder);
}

/// What sys.executable is.
std::string executable_of(interpreter& python) {
    return python.invoke([] {
        return std::string(
            boost::python::extract<std::string>(boost::python::import("sys").attr("executable")));
    });
}

TEST(InterpreterLife, DoesNotTakeTheApplicationForPython) {
    interpreter python({.arguments = {std::filesystem::read_symlink("/proc/self/exe").string()}});
    python.start();
    std::string const executable = executable_of(python);
    EXPECT_EQ(executable, STOCK_PYTHON);
    python.run_string(
        "import subprocess, sys\n"
        "code = 'import sys; print(sys.version, sys.prefix)'\n"
        "said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "assert said.stdout == f'{sys.version} {sys.prefix}\\n', said");
}

TEST(InterpreterLife, TakesTheExecutableThatIsNamed) {
    interpreter python({.python_executable = "/bin/sh"});
    python.start();
    EXPECT_EQ(executable_of(python), "/bin/sh");
    python.run_string("import json");
}

/// A virtual environment with one package in it.
class VirtualEnvironment : public testing::Test {
protected:
    void SetUp() override {
        std::filesystem::remove_all(folder);
        std::string const make = STOCK_PYTHON " -m venv --without-pip '" + folder.string() + "'";
        ASSERT_EQ(std::system(make.c_str()), 0);  // NOLINT(bugprone-command-processor): of ours
        auto const packages = folder / "lib" / library / "site-packages";
        std::ofstream(packages / "only_there.py") << "where = __file__\n";
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    void set_version(std::string const& line) const {
        std::ofstream(folder / "pyvenv.cfg") << "home = /usr/bin\n" << line << "\n";
    }

    /// That start() refuses this, with these words, and that another start is possible then.
    static void expect_refusal(interpreter::options options, std::string const& words) {
        interpreter refused(std::move(options));
        EXPECT_THAT([&] { refused.start(); },
                    ThrowsMessage<std::runtime_error>(
                        AllOf(HasSubstr("cannot start Python: "), HasSubstr(words))));
        interpreter python;
        python.start();
        python.run_string("pass");
    }

    std::filesystem::path folder =
        std::filesystem::path(testing::TempDir()) /
        ("handoff_env_" +
         std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::string version = std::to_string(PY_MAJOR_VERSION) + "." + std::to_string(PY_MINOR_VERSION);
    std::string library =
        "python" + version + (handoff::detail::attached_threads_exclude_each_other ? "" : "t");
};

TEST_F(VirtualEnvironment, HasItsPackagesFound) {
    interpreter python({.virtual_environment = folder});
    python.start();
    EXPECT_EQ(executable_of(python), (folder / "bin/python").string());
    python.run_string("import only_there, sys; assert sys.prefix != sys.base_prefix");
}

TEST_F(VirtualEnvironment, HasItsPackagesFoundWhenIsolated) {
    interpreter python({.isolated = true, .virtual_environment = folder});
    python.start();
    python.run_string("import only_there");
}

TEST_F(VirtualEnvironment, ThatIsActivatedIsNotUsedUnasked) {
    setenv("VIRTUAL_ENV", folder.c_str(), 1);
    setenv("PATH", (folder / "bin").c_str(), 1);
    interpreter python({.arguments = {(folder / "bin/python").string()}});
    python.start();
    python.run_string("import sys; assert sys.prefix == sys.base_prefix, sys.prefix");
}

TEST_F(VirtualEnvironment, WithoutSettingsIsRefused) {
    std::filesystem::remove(folder / "pyvenv.cfg");
    expect_refusal({.virtual_environment = folder},
                   "\"" + folder.string() + "\" has no pyvenv.cfg");
}

TEST_F(VirtualEnvironment, WhoseSettingsCannotBeReadIsRefused) {
    std::filesystem::remove(folder / "pyvenv.cfg");
    std::filesystem::create_symlink("pyvenv.cfg", folder / "pyvenv.cfg");  // also root is refused
    expect_refusal(
        {.virtual_environment = folder},
        "\"" + folder.string() + "\" cannot be read (Too many levels of symbolic links)");
}

TEST_F(VirtualEnvironment, ThatDoesNotExistIsRefused) {
    auto const missing = folder / "missing";
    expect_refusal({.virtual_environment = missing},
                   "\"" + missing.string() + "\" does not exist: ");
}

TEST_F(VirtualEnvironment, ThatIsAFileIsRefused) {
    auto const file = folder / "pyvenv.cfg";
    expect_refusal({.virtual_environment = file}, "\"" + file.string() + "\" is not a folder: ");
}

TEST_F(VirtualEnvironment, ARelativePathIsNamedWithTheFolderInWhichItWasLookedFor) {
    std::filesystem::current_path(folder);
    expect_refusal({.virtual_environment = "missing"},
                   R"("missing" in the folder ")" + std::filesystem::current_path().string() +
                       "\" does not exist: ");
}

TEST_F(VirtualEnvironment, ForAnotherPythonIsRefused) {
    set_version("version = 3.1.4");
    expect_refusal({.virtual_environment = folder},
                   "\"" + folder.string() + "\" is for Python 3.1, and this is Python " + version);
}

TEST_F(VirtualEnvironment, OfVirtualenvForAnotherPythonIsRefused) {
    set_version("version_info=3.10.13.final.0");
    expect_refusal({.virtual_environment = folder}, "is for Python 3.10, and");
}

TEST_F(VirtualEnvironment, ThatDoesNotSayItsVersionIsJudgedByItsPackages) {
    set_version("prompt = version");
    std::filesystem::rename(folder / "lib" / library, folder / "lib/python3.1");
    expect_refusal({.virtual_environment = folder}, folder.string());
}

TEST_F(VirtualEnvironment, WhosePythonIsGoneIsRefused) {
    std::filesystem::remove(folder / "bin/python");
    expect_refusal({.virtual_environment = folder}, "has no bin/python that can be run");
}

TEST_F(VirtualEnvironment, BesideAnExecutableIsRefused) {
    expect_refusal({.python_executable = "/bin/sh", .virtual_environment = folder}, "both");
}

TEST_F(VirtualEnvironment, AnExecutableThatCannotBeRunIsRefused) {
    expect_refusal({.python_executable = folder / "pyvenv.cfg"},
                   "\"" + (folder / "pyvenv.cfg").string() + "\" is not a program");
}

TEST_F(VirtualEnvironment, AWrongOptionDoesNotUseUpTheStart) {
    expect_refusal({.watchdog = std::chrono::seconds(-1)}, "positive, finite number of seconds");
    EXPECT_THROW(interpreter().start(), std::logic_error);  // that one had it
}

TEST_F(VirtualEnvironment, AWrongGraceDoesNotUseUpTheStart) {
    expect_refusal({.stop_grace = std::chrono::seconds(-1)}, "stop_grace");
}

TEST_F(VirtualEnvironment, AnArgumentWithANullByteIsRefused) {
    using namespace std::string_literals;
    expect_refusal({.arguments = {"robot", "a\0b"s}}, "arguments[1], \"a...\", has a null byte");
}

TEST(FooLife, RunsInAPythonThatNoHostOfOursStarted) {
    ASSERT_EQ(PyImport_AppendInittab("Foo", &PyInit_Foo), 0);
    Py_InitializeEx(0);
    int const failed = PyRun_SimpleString(
        "import Foo\n"
        "f = Foo.Foo(0.001, None)\n"
        "f.start()\n"
        "assert f.wait(5, 20)\n");
    EXPECT_EQ(failed, 0);
    EXPECT_EQ(Py_FinalizeEx(), 0);
    EXPECT_FALSE(handoff::gil_gate::is_open());
}

TEST(InterpreterLife, StopsAFooThatPythonNeverImported) {
    interpreter python;
    python.start();
    auto const only_in_cpp = python.invoke([] {
        auto const made = std::make_shared<handoff::foo>(std::chrono::milliseconds(1));
        made->start();
        return made;
    });
    python.stop();
    EXPECT_FALSE(only_in_cpp->running());
}

TEST(InterpreterLife, StartsNoFooWhereTheGateIsClosed) {
    interpreter python;
    python.add_module("Foo", &PyInit_Foo);
    python.start();
    python.run_string("import Foo; f = Foo.Foo(1.0, None)");
    EXPECT_TRUE(python.invoke([] { return handoff::gil_gate::close(); }));
    EXPECT_THAT([&] { python.run_string("f.start()"); },
                ThrowsMessage<handoff::python_error>(HasSubstr("Python is shutting down")));
    python.run_string("assert not f.running");
}

TEST(InterpreterLife, GilOwnedOutlivesItHarmlessly) {
    handoff::gil_owned<boost::python::object> outliving;
    {
        interpreter python;
        python.start();
        python.invoke(
            [&] { outliving = handoff::gil_owned<boost::python::object>(boost::python::list()); });
    }
    outliving.reset();
    EXPECT_FALSE(outliving);
}

}  // namespace
