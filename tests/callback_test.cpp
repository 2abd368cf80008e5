// callback, register_callback, override_of, released_ptr, python_error across threads.
#include "embedded_python.hpp"
#include <handoff/boost_python/callback.hpp>
#include <handoff/boost_python/functions.hpp>
#include <handoff/boost_python/module.hpp>
#include <handoff/boost_python/override.hpp>
#include <handoff/boost_python/released_ptr.hpp>
#include <handoff/boost_python/shared_ptr.hpp>
#include <handoff/gil.hpp>

#include <boost/python.hpp>

#include <boost/signals2/signal.hpp>
#include <gmock/gmock.h>

#include <atomic>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace py = boost::python;
using handoff::callback;
using handoff::gil_acquire;
using handoff::gil_held;
using handoff::no_python;
using handoff::python_error;
using testing::HasSubstr;
using testing::Property;
using testing::ThrowsMessage;

/// What Python makes of an expression. GIL: held.
py::object value_of(std::string const& expression) {
    py::object const globals = py::import("__main__").attr("__dict__");
    return py::eval(expression.c_str(), globals);
}

void run(std::string const& code) { embedded_python::python().run_string(code); }

template <class T>
T read(std::string const& expression) {
    gil_acquire gil;
    return py::extract<T>(value_of(expression))();
}

template <class Signature>
callback<Signature> callback_of(std::string const& expression,
                                typename callback<Signature>::options options = {}) {
    gil_acquire gil;
    return callback<Signature>(value_of(expression), std::move(options));
}

template <class Work>
auto on_another_thread(Work work) {
    return std::async(std::launch::async, std::move(work)).get();
}

/// The error that `work` throws.
template <class Work>
python_error error_of(Work const& work) {
    try {
        work();
    } catch (python_error const& error) {
        return error;
    }
    throw std::logic_error("nothing was thrown");
}

TEST(Callback, IsCalledOnAnyThreadAndReturnsAResult) {
    auto const twice = callback_of<double(double)>("lambda x: 2 * x");
    EXPECT_EQ(twice(1.5), 3);
    EXPECT_EQ(on_another_thread([&] { return twice(2); }), 4);
    gil_acquire gil;
    EXPECT_EQ(twice(3), 6);
    EXPECT_TRUE(gil_held());
}

TEST(Callback, LeavesTheGilAsItWas) {
    auto const f = callback_of<void()>("lambda: None");
    f();
    EXPECT_FALSE(gil_held());
}

TEST(Callback, IsAsAStdFunction) {
    std::function<int(int)> f = callback_of<int(int)>("lambda x: x + 1");
    std::function<int(int)> copy = f;
    f = nullptr;
    EXPECT_EQ(copy(1), 2);
    callback<int(int)> empty;
    EXPECT_FALSE(empty);
    EXPECT_EQ(empty, nullptr);
    EXPECT_THROW(empty(1), std::bad_function_call);
    EXPECT_EQ(callback_of<int(int)>("None"), nullptr);
    boost::function<int(int)> const of_boost = callback_of<int(int)>("lambda x: x + 2");
    EXPECT_EQ(of_boost(1), 3);
    boost::signals2::signal<void(int)> signal;
    run("heard = []");
    signal.connect(callback_of<void(int)>("heard.append"));
    on_another_thread([&] { signal(7); });
    EXPECT_EQ(read<int>("heard[0]"), 7);
}

TEST(Callback, ThatRaisesThrowsTheErrorToTheCaller) {
    auto const f = callback_of<double(double)>("lambda x: [].pop()");
    on_another_thread([&] {
        EXPECT_THAT([&] { f(0); }, ThrowsMessage<python_error>("IndexError: pop from empty list"));
        EXPECT_FALSE(gil_held());
    });
}

TEST(Callback, ThatRaisesTellsWhoIsToBeTold) {
    std::vector<std::string> told;
    auto const f =
        callback_of<double(double)>("lambda x: 1 / x", {.on_error =
                                                            [&](python_error const& error) {
                                                                EXPECT_FALSE(gil_held());
                                                                told.push_back(error.type());
                                                            },
                                                        .otherwise = -1});
    EXPECT_EQ(f(0), -1);
    EXPECT_EQ(told, std::vector<std::string>{"ZeroDivisionError"});
    auto const without = callback_of<double(double)>(
        "lambda x: 1 / x", {.on_error = [&](python_error const&) { told.emplace_back("again"); }});
    EXPECT_THROW(without(0), python_error);
    EXPECT_EQ(told.back(), "again");
}

TEST(Callback, ThatRaisesMayBeUnraisable) {
    run("import sys\nseen = []\nsys.unraisablehook = lambda it: seen.append(it)");
    auto const f = callback_of<void()>("lambda: 1 / 0", {.on_error = &python_error::report});
    on_another_thread(f);
    EXPECT_EQ(read<std::string>("seen[0].exc_type.__name__"), "ZeroDivisionError");
    EXPECT_EQ(read<std::string>("seen[0].exc_traceback.tb_frame.f_code.co_name"), "<lambda>");
    run("seen.clear(); sys.unraisablehook = sys.__unraisablehook__");
}

TEST(Callback, ThatExitsIsAnErrorLikeOthers) {
    auto const f = callback_of<void()>("lambda: sys.exit(3)");
    run("import sys");
    EXPECT_EQ(error_of(f).exit_code(), 3);
    auto const interrupted =
        callback_of<void()>("lambda: (_ for _ in ()).throw(KeyboardInterrupt)");
    EXPECT_EQ(error_of(interrupted).type(), "KeyboardInterrupt");
}

TEST(Callback, WhoseResultsConverterRaisesHasThatError) {
    struct even {};
    py::converter::registry::push_back(
        [](PyObject* object) -> void* { return object; },
        [](PyObject*, py::converter::rvalue_from_python_stage1_data*) {
            PyErr_SetString(PyExc_ValueError, "that is odd");
            throw py::error_already_set();
        },
        py::type_id<even>());
    EXPECT_THAT([] { callback_of<even()>("lambda: 3")(); },
                ThrowsMessage<python_error>("ValueError: that is odd"));
}

TEST(Callback, OfTheWrongArityOrTypesSaysSo) {
    EXPECT_THAT([] { callback_of<void(int)>("lambda: None")(1); },
                ThrowsMessage<python_error>(HasSubstr("takes 0 positional arguments")));
    EXPECT_THAT([] { callback_of<int()>("lambda: 'text'")(); },
                ThrowsMessage<python_error>(
                    HasSubstr("TypeError: <lambda>() returned 'text': No registered converter")));
    EXPECT_THAT(
        [] { callback_of<int()>("__import__('functools').partial(int.__add__, 2**40, 0)")(); },
        ThrowsMessage<python_error>(
            HasSubstr("OverflowError: functools.partial(<slot wrapper '__add__' of 'int' "
                      "objects>, 1099511627776, 0) returned 1099511627776: ")));
    EXPECT_THAT(
        [] { callback_of<signed char()>("lambda: 1000")(); },
        ThrowsMessage<python_error>(HasSubstr("OverflowError: <lambda>() returned 1000: ")));
    struct unknown {};
    EXPECT_THAT([] { callback_of<void(unknown)>("lambda it: None")({}); },
                ThrowsMessage<python_error>(HasSubstr("No to_python")));
}

TEST(Callback, OfWhatCannotBeCalledIsRefused) {
    gil_acquire gil;
    EXPECT_THROW(callback<void()>(value_of("3")), py::error_already_set);
    EXPECT_THAT(error_of([] { throw python_error::fetch(); }),
                Property(&python_error::message, "a callback must be callable, or None, not 3"));
}

TEST(Callback, MayBeDroppedByItsOwnCall) {
    static std::function<void()> f;
    struct here {
        static void drop() { f = nullptr; }
    };
    {
        gil_acquire gil;
        py::object main = py::import("__main__");
        main.attr("drop") = py::make_function(&here::drop);
        f = callback<void()>(py::eval("lambda: (drop(), drop)", main.attr("__dict__")));
    }
    f();
    EXPECT_EQ(f, nullptr);
}

TEST(Callback, IsDroppedUnderAMutexThatTheHolderOfTheGilWaitsFor) {
    std::mutex mutex;
    auto f = callback_of<void()>("lambda: None");
    std::promise<void> locked;
    std::promise<void> waits;
    std::thread dropper([&, mine = std::move(f)]() mutable {
        std::scoped_lock const held(mutex);
        locked.set_value();
        waits.get_future().wait();
        mine = nullptr;
    });
    locked.get_future().wait();
    {
        gil_acquire gil;
        waits.set_value();
        std::scoped_lock const held(mutex);
    }
    dropper.join();
}

TEST(Callback, AfterPythonHasEndedDoesNothingOrThrows) {
    auto const nothing = callback_of<void()>("lambda: None");
    auto const result = callback_of<int()>("lambda: 1");
    auto const otherwise = callback_of<int()>("lambda: 1", {.otherwise = 5});
    embedded_python::python().stop();
    nothing();
    EXPECT_THROW(result(), no_python);
    EXPECT_EQ(otherwise(), 5);
}

/// What a module offers whose functions take and return std::function.
struct kept_functions {
    static inline std::function<double(double)> last;
    static inline std::atomic<int> destroyed_with_gil = 0;
    static inline std::atomic<int> destroyed_without_gil = 0;

    static void keep(std::function<double(double)> f) { last = std::move(f); }
    static std::function<double(double)> kept() { return last; }
    static double call(std::function<double(double)> const& f, double x) { return f(x); }
    static void keep_boost(boost::function<double(double)> const& f) { last = f; }
    static std::function<double(double)> of_cpp() {
        struct told {
            std::shared_ptr<int> last_one = std::shared_ptr<int>(new int(2), [](int const* it) {
                ++(gil_held() ? destroyed_with_gil : destroyed_without_gil);
                delete it;
            });
            double operator()(double x) const {
                if (x < 0) {
                    throw std::out_of_range("negative");
                }
                return gil_held() ? -1 : *last_one * x;
            }
        };
        return told();
    }
};

class RegisterCallback : public testing::Test {
protected:
    void SetUp() override {
        gil_acquire gil;
        handoff::register_callback<double(double)>();
        handoff::register_callback<double(double)>();
        py::object main = py::import("__main__");
        py::scope const in_main(main);
        py::def("keep", &kept_functions::keep);
        py::def("kept", &kept_functions::kept);
        py::def("call", &kept_functions::call);
        py::def("keep_boost", &kept_functions::keep_boost);
        py::def("of_cpp", &kept_functions::of_cpp);
    }
    void TearDown() override { kept_functions::last = nullptr; }
};

TEST_F(RegisterCallback, HasAFunctionTakeACallable) {
    run("keep(lambda x: x * 3)");
    EXPECT_EQ(on_another_thread([] { return kept_functions::last(2); }), 6);
    run("keep_boost(lambda x: x * 4)");
    EXPECT_EQ(on_another_thread([] { return kept_functions::last(2); }), 8);
    run("keep(None)");
    EXPECT_EQ(kept_functions::last, nullptr);
    EXPECT_THAT([] { run("keep(3)"); }, ThrowsMessage<python_error>(HasSubstr("ArgumentError")));
}

TEST_F(RegisterCallback, GivesBackTheObjectThatItWas) {
    run("def f(x): return x\nkeep(f)\nassert kept() is f\nkeep(None)\nassert kept() is None");
}

TEST_F(RegisterCallback, HasPythonCallWhatCppReturns) {
    kept_functions::destroyed_with_gil = 0;
    kept_functions::destroyed_without_gil = 0;
    run("f = of_cpp()\nassert f(4) == 8\n"
        "import threading\n"
        "got = []\nt = threading.Thread(target=lambda: got.append(f(5)))\nt.start(); t.join()\n"
        "assert got == [10]\n"
        "try:\n    f(-1)\nexcept IndexError as error:\n    assert 'negative' in str(error)\n"
        "else:\n    assert False\n"
        "del f, t");
    EXPECT_EQ(kept_functions::destroyed_with_gil, 0);
    EXPECT_EQ(kept_functions::destroyed_without_gil, 1);
}

TEST_F(RegisterCallback, PassesTheSameExceptionThroughCpp) {
    run("class Bad(Exception): pass\n"
        "bad = Bad('it')\n"
        "def f(x): raise bad\n"
        "try:\n    call(f, 1)\n"
        "except Bad as error:\n"
        "    assert error is bad\n"
        "    names = []\n"
        "    step = error.__traceback__\n"
        "    while step: names.append(step.tb_frame.f_code.co_name); step = step.tb_next\n"
        "    assert names[-1] == 'f', names\n"
        "else:\n    assert False");
}

struct told {};

struct cost {
    virtual ~cost() = default;
    virtual double eval(double x) = 0;
    virtual double scale() { return gil_held() ? -1 : 10; }
    virtual void tell() {
        ++times_told;
        left_error = gil_held() && PyErr_Occurred() != nullptr;
    }
    int times_told = 0;
    bool left_error = false;
    told details;
};

// NOLINTNEXTLINE(misc-multiple-inheritance): that is how Boost.Python has it
struct cost_from_python : cost, py::wrapper<cost> {
    double eval(double x) override { return handoff::override_of<double>(this, "eval")(x); }
    double scale() override {
        return handoff::override_of<double>(this, "scale").call_or([&] { return cost::scale(); });
    }
    void tell() override {
        handoff::override_of<void>(this, "tell").call_or([&] { cost::tell(); });
    }
};

class OverrideOf : public testing::Test {
protected:
    void SetUp() override {
        gil_acquire gil;
        py::object main = py::import("__main__");
        py::scope const in_main(main);
        py::class_<cost_from_python, boost::noncopyable>("Cost")
            .def("eval", py::pure_virtual(&cost::eval))
            .def("scale", &cost::scale);
        handoff::translate_python_errors();
        main.attr("apply") = py::make_function(+[](cost& c, double x) { return c.eval(x); });
    }

    /// The C++ object of one of Python's, which keeps it.
    cost& made(std::string const& body) {
        run("class Mine(Cost):\n" + body + "\nmine = Mine()");
        gil_acquire gil;
        return py::extract<cost&>(value_of("mine"))();
    }
};

TEST_F(OverrideOf, IsCalledOnAnyThread) {
    cost& c = made(
        "    def eval(self, x): return x * x\n    def scale(self): return 3\n"
        "    def tell(self): self.told = True");
    EXPECT_EQ(on_another_thread([&] { return c.eval(3); }), 9);
    EXPECT_EQ(on_another_thread([&] { return c.scale(); }), 3);
    on_another_thread([&] { c.tell(); });
    EXPECT_TRUE(read<bool>("mine.told"));
    EXPECT_EQ(c.times_told, 0);
}

TEST_F(OverrideOf, WithoutOneCallsTheBaseOrSaysThatItIsPure) {
    cost& c = made("    pass");
    EXPECT_EQ(on_another_thread([&] { return c.scale(); }), 10);
    on_another_thread([&] { c.tell(); });
    EXPECT_EQ(c.times_told, 1);
    {
        gil_acquire gil;
        c.tell();  // which Python does not know
        EXPECT_EQ(c.times_told, 2);
        EXPECT_FALSE(c.left_error);
        EXPECT_EQ(PyErr_Occurred(), nullptr);
    }
    run("mine.scale = lambda: 5");
    EXPECT_EQ(c.scale(), 5);
    EXPECT_THAT([&] { c.eval(1); },
                ThrowsMessage<python_error>("NotImplementedError: eval() is pure virtual in C++, "
                                            "and no Python class overrides it"));
}

TEST_F(OverrideOf, ThatRaisesReachesTheCallerAndPythonAsItself) {
    cost& c = made("    def eval(self, x): raise KeyError('it')");
    EXPECT_EQ(on_another_thread([&] { return error_of([&] { c.eval(1); }).type(); }), "KeyError");
    run("try: apply(mine, 1)\nexcept KeyError: pass\nelse: assert False");
}

TEST_F(OverrideOf, ThatReturnsAnotherTypeIsNamed) {
    cost& c = made("    def eval(self, x): return 'text'\n    def scale(self): return {}");
    EXPECT_THAT([&] { c.eval(1); },
                ThrowsMessage<python_error>(HasSubstr("TypeError: Mine.eval() returned 'text': ")));
    EXPECT_THAT([&] { c.scale(); },
                ThrowsMessage<python_error>(HasSubstr("TypeError: Mine.scale() returned {}: ")));
}

TEST_F(OverrideOf, WherePythonIsGoneCallsTheBase) {
    static cost_from_python alone;  // no Python object either
    EXPECT_EQ(alone.scale(), 10);
    embedded_python::python().stop();
    EXPECT_EQ(alone.scale(), 10);
    EXPECT_THROW(alone.eval(1), no_python);
}

struct kept_costs {
    static inline std::shared_ptr<cost> last;
    static void keep(std::shared_ptr<cost> const& c) { last = c; }
    static std::shared_ptr<cost> kept() { return last; }
    /// A part of an object, which shares its owner.
    static std::shared_ptr<told> part() { return {last, &last->details}; }
};

TEST(DropSharedPtrAnywhere, OfAWrapperIsForWhatItWraps) {
    {
        gil_acquire gil;
        py::object main = py::import("__main__");
        py::scope const in_main(main);
        py::class_<told, std::shared_ptr<told>>("Told").def(handoff::drop_shared_ptr_anywhere());
        py::class_<cost_from_python, std::shared_ptr<cost_from_python>, boost::noncopyable>("Cost")
            .def("eval", py::pure_virtual(&cost::eval))
            .def(handoff::drop_shared_ptr_anywhere());
        main.attr("keep") = py::make_function(&kept_costs::keep);
        main.attr("kept") = py::make_function(&kept_costs::kept);
        main.attr("part") = py::make_function(&kept_costs::part);
    }
    run("class Mine(Cost):\n    def __del__(self): gone.append(1)\n"
        "gone = []\nmine = Mine()\nkeep(mine)\nassert kept() is mine\n"
        "assert type(part()).__name__ == 'Told'\ndel mine");
    on_another_thread([] { kept_costs::last = nullptr; });
    EXPECT_EQ(read<int>("len(gone)"), 1);
}

struct joins {
    std::atomic<bool> goes_on = true;
    std::function<void()> job;
    std::thread worker;
    explicit joins(std::function<void()> its)
        : job(std::move(its)), worker([this] {
              while (goes_on) {
                  job();
              }
          }) {}
    joins(joins const&) = delete;
    joins& operator=(joins const&) = delete;
    ~joins() {
        goes_on = false;
        worker.join();
    }
};

TEST(ReleasedPtr, HasADestructorJoinAThreadThatWantsTheGil) {
    {
        gil_acquire gil;
        handoff::register_callback<void()>();
        py::scope const in_main(py::import("__main__"));
        py::class_<joins, handoff::released_ptr<joins>, boost::noncopyable>(
            "Joins", py::init<std::function<void()>>());
    }
    run("n = 0\n"
        "def job():\n    global n; n += 1\n"
        "for i in range(20):\n"
        "    j = Joins(job)\n"
        "    while n < i: pass\n"
        "    del j");
}

TEST(PythonError, IsItselfBesideATranslatorOfAllExceptions) {
    {
        gil_acquire gil;
        py::register_exception_translator<std::exception>(
            [](std::exception const&) { PyErr_SetString(PyExc_OSError, "translated"); });
        handoff::translate_python_errors();
        py::object main = py::import("__main__");
        main.attr("call") = py::make_function(+[](py::object const& f) {
            handoff::callback<void()> const callback(f);
            callback();
        });
    }
    run("def f(): raise KeyError\ntry: call(f)\nexcept KeyError: pass\nelse: assert False");
}

TEST(PythonError, IsTheSameExceptionOnAnotherThread) {
    run("error = ValueError('kept')\n"
        "def raises(): raise error");
    std::promise<void> promise;
    std::thread([&] {
        try {
            callback_of<void()>("raises")();
            promise.set_value();
        } catch (python_error const&) {
            promise.set_exception(std::current_exception());
        }
    }).join();
    gil_acquire gil;
    try {
        promise.get_future().get();
        FAIL();
    } catch (python_error const& error) {
        error.restore();
    }
    py::object const raised{py::handle<>(handoff::take_raised_exception())};
    EXPECT_EQ(raised.ptr(), value_of("error").ptr());
    EXPECT_FALSE(py::object(raised.attr("__traceback__")).is_none());
}

TEST(PythonError, OfAPythonThatIsGoneKeepsItsText) {
    python_error const error = error_of(callback_of<void()>("lambda: 1 / 0"));
    embedded_python::python().stop();
    EXPECT_STREQ(error.what(), "ZeroDivisionError: division by zero");
    testing::internal::CaptureStderr();
    error.report();
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("ZeroDivisionError"));
}

}  // namespace
