// init_without_gil: constructors of Boost.Python classes that run with the GIL released.
#include "evaluated.hpp"
#include <handoff/boost_python/init_without_gil.hpp>
#include <handoff/boost_python/without_gil.hpp>
#include <handoff/gil/acquire.hpp>

#include <boost/python.hpp>

#include <boost/noncopyable.hpp>

#include <atomic>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace {

namespace py = boost::python;
using handoff::gil_held;
using handoff::init_without_gil;

/// Says of each object how it was made, and counts those that live.
template <int Kind>
struct made {
    made() { become("nothing"); }
    explicit made(int number) { become(std::to_string(number)); }
    explicit made(std::string const& name, double rate = 2) {
        become(name + ", " + std::to_string(std::lround(rate)));
    }
    made(made const&) = delete;
    made& operator=(made const&) = delete;
    ~made() { --living; }

    void become(std::string const& from) {
        if (from == "-1") {
            throw std::invalid_argument(gil_held() ? "held" : "released");
        }
        how = (gil_held() ? "held: " : "released: ") + from;
        ++living;
    }
    [[nodiscard]] std::string get_how() const { return how; }

    std::string how;
    static inline std::atomic<int> living = 0;
};
using by_value = made<0>;
using by_shared_ptr = made<1>;

/// Its constructor waits for a thread that takes the GIL.
struct device : boost::noncopyable {
    explicit device(int count) {
        std::thread([&] {
            handoff::gil_acquire gil;
            channels = py::extract<int>(py::eval("7") * count);
        }).join();
    }
    int channels = 0;
};

struct task {
    explicit task(int number)
        : how((gil_held() ? "held: " : "released: ") + std::to_string(number)) {}
    task(task const&) = delete;
    task& operator=(task const&) = delete;
    virtual ~task() = default;
    virtual std::string run() { return how; }
    std::string how;
};

// NOLINTNEXTLINE(misc-multiple-inheritance): as Boost.Python wants it
struct python_task : task, py::wrapper<task> {
    using task::task;
    std::string run() override {
        if (py::override const in_python = get_override("run")) {
            return in_python().as<std::string>();
        }
        return task::run();
    }
};

/// Gets its Python object, as classes had it before wrapper<>.
struct job {
    explicit job(int value) : number(gil_held() ? -1 : value) {}
    virtual ~job() = default;
    int number;
};

struct python_job : job {
    python_job(PyObject* object, int value) : job(value), self(object) {}
    python_job(PyObject* object, job const& other) : job(other), self(object) {}
    PyObject* self;
};

std::shared_ptr<by_shared_ptr> make_from_two(int first, int second) {
    return std::make_shared<by_shared_ptr>(first + second);
}

struct keeper {
    explicit keeper(by_value& other) : kept(&other) {}
    by_value* kept;
};

struct pickled : py::pickle_suite {
    static py::tuple getinitargs(device const& one) { return py::make_tuple(one.channels / 7); }
};

void bind() {
    using py::arg;
    py::class_<by_value, boost::noncopyable>("ByValue", init_without_gil<>())
        .def(init_without_gil<int>(arg("number"), "From a number."))
        .def(init_without_gil<std::string, py::optional<double>>(
            "From a name.", (arg("self"), arg("name"), arg("rate") = 2.0)))
        .add_property("how", &by_value::get_how);
    py::class_<by_shared_ptr, std::shared_ptr<by_shared_ptr>, boost::noncopyable>(
        "BySharedPtr", "A docstring.", init_without_gil<int>())
        .def("__init__", py::make_constructor(handoff::without_gil(&make_from_two)))
        .def("__init__", py::make_constructor(handoff::without_gil([](std::string const& name) {
                                                  return make_from_two(
                                                      static_cast<int>(name.size()), 0);
                                              }),
                                              py::default_call_policies(), (arg("name"))))
        .add_property("how", &by_shared_ptr::get_how);
    py::def("living", +[] { return by_value::living + by_shared_ptr::living; });
    py::def("pass_on", +[](std::shared_ptr<by_shared_ptr> const& same) { return same; });

    py::class_<device, boost::noncopyable>("Device", py::no_init)
        .def(init_without_gil<int>())
        .def_readonly("channels", &device::channels)
        .def_pickle(pickled());
    py::class_<python_task, boost::noncopyable>("Task", init_without_gil<int>())
        .def("run", &task::run);
    py::def("run_in_cpp", +[](task& any) { return any.run(); });
    py::class_<job, python_job>("Job", init_without_gil<int>())
        .def_readonly("number", &job::number);
    py::def(
        "has_its_object", +[](PyObject* object) {
            job& one = py::extract<job&>(object);
            return dynamic_cast<python_job&>(one).self == object;
        });
    py::class_<keeper>("Keeper", py::no_init)
        .def(init_without_gil<by_value&>()[py::with_custodian_and_ward<1, 2>()]);
    py::class_<made<2>, boost::noncopyable>("Plain", py::no_init)
        .def(py::init<int>(arg("number"), "From a number."));
    py::class_<made<3>, boost::noncopyable>("Released", py::no_init)
        .def(init_without_gil<int>(arg("number"), "From a number."));
    py::def(
        "fails", +[](py::object const& one, int number) {
            try {
                one.attr("__init__")(number);
                return false;
            } catch (py::error_already_set const&) {
                PyErr_Clear();
                return true;
            }
        });
}

std::string evaluate(std::string const& expression) { return evaluated(&bind, expression); }

type_and_text raised(std::string const& expression) { return raised_by(&bind, expression); }

TEST(InitWithoutGil, RunsAConstructorReleased) {
    EXPECT_EQ(evaluate("ByValue().how, ByValue(1).how"), "('released: nothing', 'released: 1')");
    EXPECT_EQ(evaluate("BySharedPtr(2).how"), "released: 2");
    EXPECT_EQ(evaluate("living()"), "0");
}

TEST(InitWithoutGil, LetsAConstructorWaitForAThreadThatTakesTheGil) {
    EXPECT_EQ(evaluate("[Device(number).channels for number in range(50)] == [*range(0, 350, 7)]"),
              "True");
}

TEST(InitWithoutGil, TakesKeywordsAndOptionalParameters) {
    EXPECT_EQ(evaluate("ByValue(number=3).how, ByValue('a').how, ByValue(rate=4, name='a').how"),
              "('released: 3', 'released: a, 2', 'released: a, 4')");
}

TEST(InitWithoutGil, TakesDocstrings) {
    EXPECT_EQ(evaluate("BySharedPtr.__doc__"), "A docstring.");
    EXPECT_EQ(evaluate("[words in ByValue.__init__.__doc__ for words in ('a number.', 'a name.')]"),
              "[True, True]");
}

TEST(InitWithoutGil, LooksAsAPlainConstructor) {
    EXPECT_EQ(evaluate("Released.__init__.__doc__.replace('<3>', '<2>') == Plain.__init__.__doc__"),
              "True");
}

TEST(InitWithoutGil, TakesCallPolicies) {
    EXPECT_EQ(evaluate("[living() for one in [Keeper(ByValue())]]"), "[1]");
    EXPECT_EQ(evaluate("living()"), "0");
}

TEST(InitWithoutGil, MakesASharedPtrThatKnowsItsObject) {
    EXPECT_EQ(evaluate("[pass_on(one) is one for one in [BySharedPtr(1)]]"), "[True]");
}

TEST(InitWithoutGil, MakesConstructorsOfFunctions) {
    EXPECT_EQ(evaluate("BySharedPtr(3, 4).how, BySharedPtr(name='four').how"),
              "('released: 7', 'released: 4')");
    EXPECT_EQ(raised("BySharedPtr(0, -1)"), type_and_text("ValueError", "released"));
}

TEST(InitWithoutGil, MakesWrappersWhoseOverridesAreFound) {
    EXPECT_EQ(evaluate("Task(1).run()"), "released: 1");
    EXPECT_EQ(evaluate("run_in_cpp(type('Sub', (Task,), {'run': lambda self: 'Python'})(2))"),
              "Python");
}

TEST(InitWithoutGil, GivesAClassWithABackReferenceItsObject) {
    EXPECT_EQ(evaluate("[(one.number, has_its_object(one)) for one in [Job(5)]]"), "[(5, True)]");
}

TEST(InitWithoutGil, MakesObjectsOfSubclasses) {
    EXPECT_EQ(evaluate("type('Sub', (ByValue,), {'__init__': "
                       "lambda self: ByValue.__init__(self, 8)})().how"),
              "released: 8");
}

TEST(InitWithoutGil, PicklesByTheArgumentsOfAConstructor) {
    EXPECT_EQ(evaluate("[pickle.loads(pickle.dumps(Device(3))).channels "
                       "for pickle in [__import__('pickle')]]"),
              "[21]");
}

TEST(InitWithoutGil, RaisesWhatAConstructorThrows) {
    EXPECT_EQ(raised("ByValue(-1)"), type_and_text("ValueError", "released"));
    EXPECT_EQ(raised("BySharedPtr(-1)"), type_and_text("ValueError", "released"));
    EXPECT_FALSE(gil_held());
    EXPECT_EQ(evaluate("living()"), "0");
}

TEST(InitWithoutGil, MayBeCalledAgainAfterAnException) {
    EXPECT_EQ(evaluate("[(fails(one, -1), fails(one, 6), one.how, living()) "
                       "for one in [ByValue.__new__(ByValue)]]"),
              "[(True, False, 'released: 6', 1)]");
}

TEST(InitWithoutGil, GivesNobodyAnObjectThatIsNotYetConstructed) {
    EXPECT_EQ(raised("ByValue.__new__(ByValue).how").first, "Boost.Python.ArgumentError");
}

TEST(InitWithoutGil, RefusesArgumentsBeforeItReleases) {
    EXPECT_EQ(raised("ByValue([])").first, "Boost.Python.ArgumentError");
    EXPECT_EQ(raised("Device()").first, "Boost.Python.ArgumentError");
}

}  // namespace
