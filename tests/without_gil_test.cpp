// without_gil: bindings that run their C++ function with the GIL released.
#include "evaluated.hpp"
#include <handoff/boost_python/without_gil.hpp>
#include <handoff/gil/acquire.hpp>

#include <boost/python.hpp>

#include <boost/function.hpp>

#include <barrier>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

namespace py = boost::python;
using handoff::gil_held;
using handoff::without_gil;

/// Python has no class for it.
struct device {
    [[nodiscard]] bool held() const noexcept { return gil_held(); }
    [[nodiscard]] int scaled(int value, int by) const { return value * by * factor; }
    [[nodiscard]] int get_factor() const { return gil_held() ? -1 : factor; }
    void set_factor(int value) { factor = gil_held() ? -1 : value; }
    int factor = 1;
};

struct camera : device {
    void fail() { throw std::runtime_error(gil_held() ? "held" : "released"); }
    bool on_lvalue() & { return gil_held(); }
    bool on_const_lvalue() const& { return gil_held(); }
    bool on_lvalue_noexcept() & noexcept { return gil_held(); }
    bool plain_noexcept() noexcept { return gil_held(); }
};

bool free_function() { return gil_held(); }
bool free_noexcept(int /*unused*/) noexcept { return gil_held(); }
int sum(int rows, int columns) { return gil_held() ? -1 : rows + columns; }

struct function_object {
    int offset;
    int operator()(int value) const noexcept { return gil_held() ? -1 : value + offset; }
};

/// Has children, which it owns.
struct node {
    [[nodiscard]] node& child(int number) const { return children[number]; }
    [[nodiscard]] std::string const& get_name() const { return name; }
    void adopt(node& other) { adopted = &other; }
    std::string name = "parent";
    node* adopted = nullptr;
    node* children = nullptr;
};

struct family : node {
    family() { children = owned; }
    ~family() { ++gone; }
    family(family const&) = delete;
    family& operator=(family const&) = delete;
    node owned[2] = {{.name = "first"}, {.name = "second"}};
    static inline int gone = 0;
};

/// What a call policy does is done with the GIL held.
struct watching_policies : py::default_call_policies {
    static inline std::string seen;
    template <class Arguments>
    static bool precall(Arguments const& /*unused*/) {
        seen += gil_held() ? "before: held, " : "before: released, ";
        return true;
    }
    template <class Arguments>
    static PyObject* postcall(Arguments const& /*unused*/, PyObject* result) {
        seen += gil_held() ? "after: held" : "after: released";
        return result;
    }
};

struct lens_error {};

struct task {
    task() = default;
    task(task const&) = delete;
    task& operator=(task const&) = delete;
    virtual ~task() = default;
    virtual std::string run() { return gil_held() ? "C++, held" : "C++, released"; }
};

// NOLINTNEXTLINE(misc-multiple-inheritance): as Boost.Python wants it
struct python_task : task, py::wrapper<task> {
    std::string run() override {
        {
            handoff::gil_acquire to_call;
            if (py::override const in_python = get_override("run")) {
                return in_python().as<std::string>();
            }
        }
        return task::run();
    }
    std::string run_in_cpp() { return task::run(); }
};

/// Returns when two threads are in.
void meet() {
    static std::barrier both_are_in(2);
    both_are_in.arrive_and_wait();
}

void bind_classes() {
    using py::arg;
    py::class_<camera>("Camera")
        .def("held", without_gil(&device::held), "held() -> bool")
        .def("named", without_gil<camera>(&device::held))
        .def("scaled", without_gil(&device::scaled), (arg("self"), arg("value"), arg("by") = 10))
        .def("scaled_then",
             without_gil<camera>(&device::scaled, (arg("self"), arg("value"), arg("by") = 10)))
        .def("fail", without_gil(&camera::fail))
        .def("both", without_gil([](camera& self, int more) { return self.factor + more; }))
        .def("on_lvalue", without_gil(&camera::on_lvalue))
        .def("on_const_lvalue", without_gil(&camera::on_const_lvalue))
        .def("on_lvalue_noexcept", without_gil(&camera::on_lvalue_noexcept))
        .def("plain_noexcept", without_gil(&camera::plain_noexcept))
        .def(
            "kind", +[](camera&, int) { return "plain int"; })
        .def("kind", without_gil([](camera&, std::string const&) { return std::string("str"); }))
        .def("kind", without_gil([](camera&, int, int) { return std::string("two ints"); }))
        .add_property("factor", without_gil<camera>(&device::get_factor),
                      without_gil<camera>(&device::set_factor))
        .def("count", without_gil([] { return gil_held() ? -1 : 7; }))
        .staticmethod("count")
        .add_static_property("cameras", without_gil([] { return gil_held() ? -1 : 8; }))
        .setattr("attribute", without_gil<camera>(&device::held));

    py::class_<node>("Node", py::no_init)
        .add_property("label", without_gil(&node::get_name,
                                           py::return_value_policy<py::copy_const_reference>()));
    py::class_<family, py::bases<node>, boost::noncopyable>("Family")
        .def("child", without_gil(&node::child), py::return_internal_reference<>(),
             (arg("self"), arg("n") = 1), "policies, keywords, doc")
        .def("child_2", without_gil(&node::child), "doc, keywords, policies",
             (arg("self"), arg("n") = 1), py::return_internal_reference<>())
        .def("child_3", without_gil(&node::child), (arg("self"), arg("n") = 1),
             py::return_internal_reference<>())
        .def("child_4", without_gil(&node::child), py::return_internal_reference<>())
        .def("name", without_gil(&node::get_name),
             py::return_value_policy<py::copy_const_reference>())
        .def("adopt", without_gil(&node::adopt), py::with_custodian_and_ward<1, 2>())
        .def("watched", without_gil([](family&) {
                 watching_policies::seen += gil_held() ? "call: held, " : "call: released, ";
             }),
             watching_policies());
    py::def("families_gone", +[] { return family::gone; });
    py::def("seen_by_policies", +[] { return watching_policies::seen; });

    py::class_<python_task, boost::noncopyable>("Task").def("run", without_gil(&task::run),
                                                            &python_task::run_in_cpp);
    py::def("run_in_cpp", without_gil([](task& any) { return any.run(); }));
}

void bind_functions() {
    using py::arg;
    py::def("free_function", without_gil(&free_function));
    py::def("free_noexcept", without_gil(&free_noexcept));
    py::def("by_reference", without_gil(free_function));
    py::def("twice", without_gil([](double x) { return gil_held() ? -1 : 2 * x; }, arg("x")));
    py::def("sum", without_gil(&sum), (arg("rows"), arg("columns") = 1), "Adds them.");
    py::def("plain", &sum, (arg("rows"), arg("columns") = 1), "Adds them.");
    py::def("sum_2", without_gil(&sum), "Adds them.", (arg("rows"), arg("columns") = 2),
            py::default_call_policies());
    py::def("sum_3", without_gil(&sum), (arg("rows"), arg("columns") = 3));
    py::def("label", without_gil([](node const& one) -> std::string const& { return one.name; }),
            py::return_value_policy<py::copy_const_reference>());
    py::def("next", without_gil([n = 0]() mutable { return ++n; }));
    py::def("of_std_function", without_gil(std::function<int(int)>(function_object{1})));
    py::def("of_boost_function", without_gil(boost::function<int(int)>(function_object{3})));
    py::def("of_function_object", without_gil(function_object{2}));
    py::def("meet", without_gil(&meet));

    py::register_exception_translator<lens_error>([](lens_error const& /*unused*/) {
        PyErr_SetString(PyExc_LookupError, gil_held() ? "held" : "released");
    });
    py::def("raise_lens_error", without_gil([] { throw lens_error(); }));

    py::object const implicitly = without_gil(&free_function);
    py::scope().attr("implicitly") = implicitly;
    py::scope().attr("explicitly") = py::object(without_gil(&free_function));
    py::scope().attr("at_once") = without_gil(&free_function);
    py::scope().attr("called_at_once") = without_gil(&sum)(3, 4);
    py::scope().attr("as_argument") = py::import("functools").attr("partial")(without_gil(&sum), 5);
    py::list several;
    several.append(without_gil(&free_function));
    py::scope().attr("several") = several;
    py::scope().attr("with_doc") = without_gil(&sum, "Adds them.", (arg("rows"), arg("columns")));
}

void bind() {
    bind_classes();
    bind_functions();
}

std::string evaluate(std::string const& expression) { return evaluated(&bind, expression); }

type_and_text raised(std::string const& expression) { return raised_by(&bind, expression); }

TEST(WithoutGil, RunsAMemberFunctionReleased) { EXPECT_EQ(evaluate("Camera().held()"), "False"); }

TEST(WithoutGil, RunsAFreeFunctionReleased) { EXPECT_EQ(evaluate("free_function()"), "False"); }

TEST(WithoutGil, RunsALambdaReleased) {
    EXPECT_EQ(evaluate("twice(x=1.5)"), "3.0");
    EXPECT_EQ(evaluate("Camera().both(41)"), "42");
}

TEST(WithoutGil, KnowsTheClassInWhichItBindsAnInheritedFunction) {
    EXPECT_EQ(evaluate("Camera().held(), Camera().named()"), "(False, False)");
    EXPECT_EQ(evaluate("type('Sub', (Camera,), {})().held()"), "False");
}

TEST(WithoutGil, TakesKeywordsAndDefaults) {
    EXPECT_EQ(evaluate("Camera().scaled(2), Camera().scaled(by=3, value=2)"), "(20, 6)");
    EXPECT_EQ(evaluate("Camera().scaled_then(2), Camera().scaled_then(by=3, value=2)"), "(20, 6)");
}

TEST(WithoutGil, TakesADocstring) {
    EXPECT_NE(evaluate("Camera.held.__doc__").find("held() -> bool"), std::string::npos);
    EXPECT_NE(evaluate("with_doc.__doc__").find("Adds them."), std::string::npos);
}

TEST(WithoutGil, TakesPoliciesKeywordsAndDocInAnyOrder) {
    EXPECT_EQ(
        evaluate("[each.label for one in [Family()] for each in (one.child(), one.child(n=0), "
                 "one.child_2(), one.child_3(n=1), one.child_4(0))]"),
        "['second', 'first', 'second', 'second', 'first']");
    EXPECT_NE(evaluate("Family.child.__doc__").find("policies, keywords, doc"), std::string::npos);
    EXPECT_NE(evaluate("Family.child_2.__doc__").find("doc, keywords, policies"),
              std::string::npos);
    EXPECT_EQ(evaluate("Family().name()"), "parent");
}

TEST(WithoutGil, KeepsTheOwnerOfAnInternalReference) {
    EXPECT_EQ(evaluate("[(child.label, families_gone()) for child in [Family().child(0)]]"),
              "[('first', 0)]");
    EXPECT_EQ(evaluate("families_gone()"), "1");
}

TEST(WithoutGil, KeepsAWardWithItsCustodian) {
    EXPECT_EQ(evaluate("[families_gone() for one in [Family()] if one.adopt(Family()) is None]"),
              "[0]");
    EXPECT_EQ(evaluate("families_gone()"), "2");
}

TEST(WithoutGil, HoldsTheGilWhilePoliciesRun) {
    EXPECT_EQ(evaluate("Family().watched() or seen_by_policies()"),
              "before: held, call: released, after: held");
}

TEST(WithoutGil, IsAnObjectWhereverOneIsWanted) {
    EXPECT_EQ(evaluate("implicitly(), explicitly(), at_once(), several[0]()"),
              "(False, False, False, False)");
    EXPECT_EQ(evaluate("called_at_once, as_argument(6)"), "(7, 11)");
    EXPECT_EQ(evaluate("Camera().attribute()"), "False");
}

TEST(WithoutGil, MakesProperties) {
    EXPECT_EQ(evaluate("[one.factor for one in [Camera()] if setattr(one, 'factor', 5) is None]"),
              "[5]");
    EXPECT_EQ(evaluate("Camera.cameras"), "8");
    EXPECT_EQ(evaluate("Family().child(0).label"), "first");
}

TEST(WithoutGil, MakesStaticMethods) {
    EXPECT_EQ(evaluate("Camera.count(), Camera().count()"), "(7, 7)");
}

TEST(WithoutGil, TakesPoliciesKeywordsAndDocOfAFreeFunction) {
    EXPECT_EQ(evaluate("sum(1), sum(columns=5, rows=1), sum_2(1), sum_3(rows=1)"), "(2, 6, 3, 4)");
    EXPECT_NE(evaluate("sum_2.__doc__").find("Adds them."), std::string::npos);
    EXPECT_EQ(evaluate("label(Family())"), "parent");
}

TEST(WithoutGil, TakesQualifiedFunctions) {
    EXPECT_EQ(evaluate("[each(Camera()) for each in (Camera.on_lvalue, Camera.on_const_lvalue, "
                       "Camera.on_lvalue_noexcept, Camera.plain_noexcept)]"),
              "[False, False, False, False]");
    EXPECT_EQ(evaluate("free_noexcept(1), by_reference()"), "(False, False)");
}

TEST(WithoutGil, TakesFunctionObjects) {
    EXPECT_EQ(evaluate("of_std_function(1), of_function_object(1), of_boost_function(1)"),
              "(2, 3, 4)");
}

TEST(WithoutGil, KeepsTheStateOfAMutableLambda) {
    EXPECT_EQ(evaluate("next(), next(), next()"), "(1, 2, 3)");
}

TEST(WithoutGil, LetsTwoThreadsInAtOnce) {
    EXPECT_EQ(evaluate("[thread.start() or thread for threading in [__import__('threading')] "
                       "for thread in [threading.Thread(target=meet)]] and meet()"),
              "None");
}

TEST(WithoutGil, OverloadsAFunction) {
    EXPECT_EQ(evaluate("Camera().kind(1), Camera().kind('1'), Camera().kind(1, 2)"),
              "('plain int', 'str', 'two ints')");
}

TEST(WithoutGil, TakesADefaultImplementation) {
    EXPECT_EQ(evaluate("Task().run()"), "C++, released");
    EXPECT_EQ(evaluate("run_in_cpp(type('Sub', (Task,), {'run': lambda self: 'Python'})())"),
              "Python");
    EXPECT_EQ(evaluate("run_in_cpp(type('Sub', (Task,), "
                       "{'run': lambda self: 'Python, then ' + Task.run(self)})())"),
              "Python, then C++, released");
}

TEST(WithoutGil, LooksAsAPlainFunction) {
    EXPECT_EQ(evaluate("type(sum) is type(plain)"), "True");
    EXPECT_EQ(evaluate("sum.__name__, sum.__module__"), "('sum', 'bound')");
    EXPECT_EQ(evaluate("sum.__doc__ == plain.__doc__.replace('plain', 'sum')"), "True");
    EXPECT_NE(
        evaluate("Camera.scaled.__doc__").find("scaled( (Camera)self, (int)value [, (int)by=10"),
        std::string::npos)
        << evaluate("Camera.scaled.__doc__");
}

TEST(WithoutGil, RefusesArgumentsAsAPlainFunction) {
    auto const [type, message] = raised("sum('1')");
    auto const [type_of_plain, message_of_plain] = raised("plain('1')");
    EXPECT_EQ(type, "Boost.Python.ArgumentError");
    EXPECT_EQ(type, type_of_plain);
    std::string expected = message_of_plain;
    for (auto at = expected.find("plain"); at != std::string::npos; at = expected.find("plain")) {
        expected.replace(at, 5, "sum");
    }
    EXPECT_EQ(message, expected);
}

TEST(WithoutGil, HoldsTheGilAgainWhenAnExceptionArrives) {
    EXPECT_EQ(raised("Camera().fail()"), type_and_text("RuntimeError", "released"));
    EXPECT_FALSE(gil_held());
}

TEST(WithoutGil, TranslatesAnExceptionWithTheGilHeld) {
    EXPECT_EQ(raised("raise_lens_error()"), type_and_text("LookupError", "held"));
}

}  // namespace
