// The interpreter as part of an application: running code, and how its errors arrive.
#include "embedded_python.hpp"

#include <boost/python.hpp>

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using handoff::python_error;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Property;
using testing::StartsWith;
using testing::ThrowsMessage;

handoff::interpreter& python() { return embedded_python::python(); }

/// The python_error that `work` throws.
template <class Work>
python_error error_of(Work work) {
    try {
        work();
    } catch (python_error const& error) {
        return error;
    }
    throw std::logic_error("nothing was thrown");
}

class ScriptFile : public testing::Test {
protected:
    void write(std::string_view content) {
        std::ofstream(path, std::ios::binary)
            .write(content.data(), static_cast<std::streamsize>(content.size()));
    }
    void TearDown() override { std::filesystem::remove(path); }

    std::filesystem::path path =
        std::filesystem::path(testing::TempDir()) /
        ("handoff_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()) +
         ".py");
};

TEST(Interpreter, ReturnsFromStartWithTheGilReleased) { EXPECT_FALSE(handoff::gil_held()); }

TEST(Interpreter, RefusesASecondStartInTheProcess) {
    handoff::interpreter second;
    EXPECT_THAT([&] { second.start(); },
                ThrowsMessage<std::logic_error>(HasSubstr("started in this process before")));
    EXPECT_FALSE(second.running());
    EXPECT_TRUE(python().running());
}

TEST(Interpreter, RefusesAModuleOnceStarted) {
    EXPECT_THAT([] { python().add_module("late", &PyInit_Foo); },
                ThrowsMessage<std::logic_error>(
                    AllOf(HasSubstr("'late'"), HasSubstr("before Python starts"))));
}

TEST(Interpreter, RunsStatementsInMain) {
    python().run_string("x = 6");
    python().run_string("assert x * 7 == 42 and __name__ == '__main__'");
}

TEST(Interpreter, CallsAFunctionAndConvertsItsResult) {
    EXPECT_DOUBLE_EQ(python().call<double>("math", "hypot", 3.0, 4.0), 5.0);
    EXPECT_EQ(python().call<std::string>("os.path", "join", "a", "b"), "a/b");
    python().call("gc", "collect");
}

/// What repr() makes of an argument.
template <class T>
std::string shown(T const& argument) {
    return python().call<std::string>("builtins", "repr", argument);
}

TEST(Arguments, MayBeAnyText) {
    std::string word = "w\xc3\xb6rd";
    EXPECT_EQ(shown(word), "'w\xc3\xb6rd'");
    EXPECT_EQ(shown(std::string_view(word).substr(0, 3)), "'w\xc3\xb6'");
    EXPECT_EQ(shown("literal"), "'literal'");
    EXPECT_EQ(shown(word.c_str()), "'w\xc3\xb6rd'");
    EXPECT_EQ(shown(word.data()), "'w\xc3\xb6rd'");
    EXPECT_EQ(shown(static_cast<char const*>(nullptr)), "None");
    EXPECT_EQ(error_of([] { shown(std::string_view("\xff")); }).type(), "UnicodeDecodeError");
}

TEST(Arguments, MayBePathsVectorsAndOptionals) {
    EXPECT_EQ(shown(std::filesystem::path("a/b")), "PosixPath('a/b')");
    EXPECT_EQ(shown(std::filesystem::path("\xff")), "PosixPath('\\udcff')");
    EXPECT_EQ(shown(std::vector<double>{1, 2.5}), "[1.0, 2.5]");
    EXPECT_EQ(shown(std::vector<bool>{true, false}), "[True, False]");
    EXPECT_EQ(shown(std::vector<std::vector<char const*>>{{"a"}, {}}), "[['a'], []]");
    EXPECT_EQ(shown(std::optional<int>(3)), "3");
    EXPECT_EQ(shown(std::optional<int>()), "None");
    EXPECT_EQ(shown(std::nullopt), "None");
    EXPECT_EQ(shown(nullptr), "None");
}

TEST(Arguments, MayHaveKeywords) {
    using handoff::keyword;
    EXPECT_EQ(python().call<int>("builtins", "int", "ff", keyword("base") = 16), 255);
    EXPECT_EQ(python().call<std::string>("textwrap", "shorten", keyword("width") = 5,
                                         keyword("placeholder") = "-", keyword("text") = "a b c d"),
              "a b-");
    EXPECT_EQ(error_of([] {
                  python().call("builtins", "int", "1", keyword("base") = 2, keyword("base") = 3);
              }).type(),
              "TypeError");
}

TEST(Arguments, OfATypeThatIsRegisteredAreConvertedAsItSays) {
    python().run_string("def name(x): return type(x).__name__");
    python().invoke([] {
        boost::python::scope const inside(boost::python::import("__main__"));
        boost::python::class_<std::vector<short>>("Shorts");
    });
    EXPECT_EQ(python().call<std::string>("__main__", "name", std::vector<short>{1}), "Shorts");
    EXPECT_EQ(python().call<std::vector<short>>("__main__", "Shorts"), std::vector<short>{});
}

TEST(Interpreter, CallsAMethodByItsDottedName) {
    EXPECT_EQ(python().call<std::string>("datetime", "date.today.__name__.upper"), "TODAY");
    EXPECT_EQ(error_of([] { python().call("os", "path.nope"); }).type(), "AttributeError");
    EXPECT_EQ(error_of([] { python().call("os", "path..join"); }).type(), "AttributeError");
}

TEST(Results, ThatDoNotFitTheTypeAreAnErrorOfPythons) {
    python_error const one = error_of([] { python().call<int>("builtins", "pow", 2, 40); });
    EXPECT_EQ(one.type(), "OverflowError");
    EXPECT_THAT(one.message(),
                StartsWith("builtins.pow() returned 1099511627776: it does not fit the result's "
                           "C++ type: bad numeric conversion: "));
    python_error const of_several = error_of(
        [] { python().call<std::vector<short>>("builtins", "list", std::vector<int>{1, 70000}); });
    EXPECT_THAT(of_several.message(),
                StartsWith("builtins.list() returned [1, 70000]: the element 70000 does not fit "
                           "its C++ type: bad numeric conversion: "));
}

TEST(Results, MayBeVectorsOptionalsAndPaths) {
    python().run_string("def same(x): return x");
    EXPECT_EQ((python().call<std::vector<int>>("builtins", "range", 3)),
              (std::vector<int>{0, 1, 2}));
    EXPECT_EQ((python().call<std::vector<std::optional<std::string>>>(
                  "__main__", "same", std::vector<char const*>{"a", nullptr})),
              (std::vector<std::optional<std::string>>{"a", std::nullopt}));
    EXPECT_EQ(python().call<std::optional<int>>("gc", "collect").has_value(), true);
    EXPECT_EQ(python().call<std::optional<int>>("gc", "enable"), std::nullopt);
    EXPECT_EQ(python().call<std::filesystem::path>("pathlib", "Path", "a", "b"), "a/b");
    EXPECT_EQ(error_of([] { python().call<std::vector<int>>("builtins", "int"); }).type(),
              "TypeError");
    EXPECT_EQ(error_of([] { python().call<std::vector<int>>("builtins", "list", "ab"); }).type(),
              "TypeError");
}

TEST(Interpreter, LeavesTheGilAsItWas) {
    python().run_string("pass");
    EXPECT_FALSE(handoff::gil_held());
    handoff::gil_acquire gil;
    python().run_string("pass");
    EXPECT_TRUE(handoff::gil_held());
}

TEST(Interpreter, RunsFromAnyThread) {
    python().run_string("seen = []");
    std::vector<std::thread> threads;
    threads.reserve(8);
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([i] {
            for (int round = 0; round < 50; ++round) {
                python().run_string("seen.append(" + std::to_string(i) + ")");
            }
        });
    }
    for (std::thread& each : threads) {
        each.join();
    }
    EXPECT_EQ(python().invoke([] {
        return boost::python::len(boost::python::import("__main__").attr("seen"));
    }),
              8 * 50);
}

TEST(Interpreter, LetsOtherThreadsRunPythonBetweenItsCalls) {
    python().run_string("import threading; ready = threading.Event()");
    auto waiting =
        std::async(std::launch::async, [] { python().run_string("assert ready.wait(20)"); });
    python().run_string("ready.set()");
    EXPECT_TRUE(arrives(waiting));
    waiting.get();
}

TEST(Interpreter, SetsTheArguments) {
    EXPECT_EQ(python().invoke(
                  [] { return boost::python::len(boost::python::import("sys").attr("argv")); }),
              1);
}

TEST(PythonErrors, ArriveWithTypeMessageAndTraceback) {
    python_error const error = error_of(
        [] { python().run_string("def f():\n    raise ValueError('bad: 3')\nf()", "story.py"); });
    EXPECT_EQ(error.type(), "ValueError");
    EXPECT_EQ(error.message(), "bad: 3");
    EXPECT_STREQ(error.what(), "ValueError: bad: 3");
    EXPECT_THAT(error.traceback(), AllOf(StartsWith("Traceback (most recent call last):\n"),
                                         HasSubstr("File \"story.py\", line 2, in f\n"),
                                         EndsWith("ValueError: bad: 3\n")));
    EXPECT_EQ(error.exit_code(), std::nullopt);
}

TEST(PythonErrors, NameTheModuleOfTheirType) {
    python_error const error = error_of([] { python().call("json", "loads", "{"); });
    EXPECT_EQ(error.type(), "json.decoder.JSONDecodeError");
}

TEST(PythonErrors, ShowTheirCause) {
    python_error const error = error_of([] {
        python().run_string(
            "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e");
    });
    EXPECT_THAT(error.traceback(), AllOf(HasSubstr("ZeroDivisionError: division by zero"),
                                         HasSubstr("direct cause"), EndsWith("KeyError: 'k'\n")));
}

TEST(PythonErrors, SurviveAnExceptionThatCannotBePrinted) {
    python_error const error = error_of([] {
        python().run_string(
            "class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute");
    });
    EXPECT_EQ(error.type(), "Mute");
    EXPECT_EQ(error.message(), "<exception str() failed>");
}

/// Each of these would otherwise leave by an exception that is no std::exception.
TEST(PythonErrors, OfClassesThatAnswerWithErrorsAreStillPythonErrors) {
    python().run_string(R"(
def fails(*_): raise RuntimeError
class Code(SystemExit): code = property(fails)
class Class(Exception): __class__ = property(fails)
class Module(Exception): __module__ = property(fails)
class Nothing(Exception): __getattribute__ = fails
class Text(str):
    def encode(self, *_): return [1, 2]
class Encoded(Exception):
    def __str__(self): return Text('text')
)");
    for (auto const* const name : {"Code", "Class", "Module", "Nothing", "Encoded"}) {
        python_error const error =
            error_of([&] { python().run_string("raise " + std::string(name)); });
        EXPECT_EQ(error.type(), name);
        EXPECT_THAT(error.traceback(), HasSubstr("File \"<string>\", line 1, in <module>"));
    }
    EXPECT_EQ(error_of([] { python().run_string("raise Encoded"); }).message(), "text");
}

TEST(PythonErrors, WithNoErrorSetSaySo) {
    python_error const error =
        error_of([] { python().invoke([] { throw boost::python::error_already_set(); }); });
    EXPECT_EQ(error.type(), "SystemError");
    EXPECT_THAT(error.message(), HasSubstr("none is set"));
}

TEST(PythonErrors, MakeTheMessageOnceOrTwiceHoweverDeepItCallsBack) {
    python().run_string(R"(
calls = 0
class Nested(Exception):
    def __str__(self):
        global calls
        calls += 1
        if self.args[0]: again(self.args[0] - 1)
        return 'message'
)");
    python().invoke([] {
        boost::python::import("__main__").attr("again") =
            boost::python::make_function(+[](int depth) {
                error_of(
                    [&] { python().run_string("raise Nested(" + std::to_string(depth) + ")"); });
            });
    });
    EXPECT_EQ(error_of([] { python().run_string("raise Nested(10)"); }).message(), "message");
    python().run_string("assert calls <= 2 * 11, calls");
}

TEST(PythonErrors, LeaveNoErrorBehindAndTheGilFree) {
    error_of([] { python().run_string("1 / 0"); });
    EXPECT_FALSE(handoff::gil_held());
    python().run_string("pass");
}

TEST(PythonErrors, SystemExitCarriesItsCode) {
    EXPECT_EQ(error_of([] { python().run_string("import sys; sys.exit(3)"); }).exit_code(), 3);
    EXPECT_EQ(error_of([] { python().run_string("raise SystemExit"); }).exit_code(), 0);
    python_error const text = error_of([] { python().run_string("raise SystemExit('full')"); });
    EXPECT_EQ(text.exit_code(), 1);
    EXPECT_EQ(text.message(), "full");
}

TEST(PythonErrors, NameAModuleOrAFunctionThatIsNotThere) {
    EXPECT_THAT(error_of([] { python().call("no_such_module", "f"); }),
                AllOf(Property(&python_error::type, "ModuleNotFoundError"),
                      Property(&python_error::message, HasSubstr("no_such_module"))));
    EXPECT_THAT(error_of([] { python().call("math", "no_such_function"); }),
                AllOf(Property(&python_error::type, "AttributeError"),
                      Property(&python_error::message, HasSubstr("no_such_function"))));
}

TEST(PythonErrors, AResultThatCannotBeConvertedIsATypeError) {
    python_error const error = error_of([] { python().call<int>("os.path", "join", "a", "b"); });
    EXPECT_EQ(error.type(), "TypeError");
    EXPECT_THAT(error.what(), HasSubstr("os.path.join() returned 'a/b': No registered converter"));
}

TEST(PythonErrors, AreNotMixedUpWithErrorsOfCpp) {
    EXPECT_THAT([] { python().invoke([] { throw std::out_of_range("mine"); }); },
                ThrowsMessage<std::out_of_range>("mine"));
    EXPECT_FALSE(handoff::gil_held());
}

TEST_F(ScriptFile, RunsAsMainAndKnowsItsPath) {
    write("assert __name__ == '__main__'\nwhere = __file__\n");
    python().run_file(path);
    EXPECT_EQ(python().invoke([] {
        return std::string(
            boost::python::extract<std::string>(boost::python::import("__main__").attr("where")));
    }),
              path.string());
}

TEST_F(ScriptFile, ThatFailsIsNotWhatSpawnedProcessesRunAgain) {
    python().run_string("globals().pop('__file__', None)");
    write("1 / 0\n");
    EXPECT_THROW(python().run_file(path), python_error);
    python().run_string("assert '__file__' not in globals()");
}

TEST_F(ScriptFile, MayHaveAFreshNamespace) {
    python().run_string("kept = 1; __file__ = 'mine'");
    write(
        "assert __name__ == '__main__' and 'kept' not in globals(), dir()\n"
        "def twice(x): return len([x] * 2) * factor\n"
        "kept, factor = 2, 3\n"
        "assert twice(1) == 6\n"
        "import __main__; __main__.seen = __file__\n");
    python().run_file(path, handoff::fresh_namespace);
    python().run_file(path, handoff::fresh_namespace);
    python().run_string("assert kept == 1 and __file__ == 'mine' and 'factor' not in globals()");
    EXPECT_EQ(python().call<std::string>("__main__", "seen.__str__"), path.string());
}

TEST_F(ScriptFile, MayDeclareItsEncoding) {
    write("# -*- coding: latin-1 -*-\ntext = '\xe9'\nassert ord(text) == 0xe9\n");
    python().run_file(path);
}

TEST_F(ScriptFile, MayBeginWithAByteOrderMark) {
    write("\xef\xbb\xbfmark = 1\n");
    python().run_file(path);
}

TEST_F(ScriptFile, ThatIsMissingIsFileNotFoundError) {
    std::string const said =
        "can't open file '" + path.string() + "': [Errno 2] No such file or directory";
    for (auto const& error : {error_of([&] { python().run_file(path); }), error_of([&] {
                                  python().run_file(path, handoff::fresh_namespace);
                              })}) {
        EXPECT_EQ(error.type(), "FileNotFoundError");
        EXPECT_EQ(error.message(), said);
        EXPECT_EQ(error.traceback(), "FileNotFoundError: " + said + "\n");  // no frame of Python's
    }
}

TEST_F(ScriptFile, ThatIsMissingIsNamedByItsWholePath) {
    EXPECT_THAT(
        error_of([] { python().run_file("no_such_script.py"); }).message(),
        HasSubstr('\'' + (std::filesystem::current_path() / "no_such_script.py'").string()));
}

TEST_F(ScriptFile, ThatIsADirectoryIsIsADirectoryError) {
    std::filesystem::create_directory(path);
    EXPECT_EQ(error_of([&] { python().run_file(path); }).type(), "IsADirectoryError");
}

TEST_F(ScriptFile, ThatIsNotUtf8IsSyntaxError) {
    write("text = '\xe9'\n");
    EXPECT_EQ(error_of([&] { python().run_file(path); }).type(), "SyntaxError");
}

TEST_F(ScriptFile, WithASyntaxErrorNamesFileAndLine) {
    write("good = 1\nbad =\n");
    python_error const error = error_of([&] { python().run_file(path); });
    EXPECT_EQ(error.type(), "SyntaxError");
    EXPECT_THAT(error.traceback(), HasSubstr("File \"" + path.string() + "\", line 2"));
}

TEST_F(ScriptFile, WithANullByteIsAnErrorAndNotCutShort) {
    using namespace std::string_view_literals;
    write("before = 1\n\0after = 2\n"sv);
    EXPECT_THAT(error_of([&] { python().run_file(path); }).message(), HasSubstr("null byte"));
}

}  // namespace
