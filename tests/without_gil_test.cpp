// without_gil: bindings that run their C++ function with the GIL released.
#include "embedded_python.hpp"
#include <handoff/boost_python/without_gil.hpp>

#include <boost/python.hpp>

#include <stdexcept>
#include <string>

namespace {

namespace py = boost::python;
using handoff::gil_held;
using handoff::without_gil;

struct device {
    [[nodiscard]] bool held() const noexcept { return gil_held(); }
    [[nodiscard]] int scaled(int value, int by) const { return value * by * factor; }
    int factor = 1;
};

struct camera : device {
    void fail() { throw std::runtime_error(gil_held() ? "held" : "released"); }
};

bool free_function() { return gil_held(); }

class WithoutGil : public testing::Test {
protected:
    /// Evaluates with the class and the functions above bound in the namespace.
    static std::string evaluate(char const* expression) {
        return embedded_python::python().invoke([&] {
            py::dict names;
            names["__builtins__"] = py::import("builtins");
            py::object module{py::handle<>(py::borrowed(PyImport_AddModule("without_gil_test")))};
            if (!py::extract<bool>(module.attr("__dict__").attr("__contains__")("Camera"))) {
                bind(module);
            }
            names.update(module.attr("__dict__"));
            return std::string(py::extract<std::string>(py::str(py::eval(expression, names))));
        });
    }

private:
    static void bind(py::object const& module) {
        using py::arg;
        py::scope const inside(module);
        py::class_<camera>("Camera")
            .def("held", without_gil<camera>(&device::held), "held() -> bool")
            .def("scaled",
                 without_gil<camera>(&device::scaled, (arg("self"), arg("value"), arg("by") = 10)))
            .def("fail", without_gil(&camera::fail))
            .def("both", without_gil([](camera& self, int more) { return self.factor + more; }));
        py::def("free_function", without_gil(&free_function));
        py::def("twice", without_gil([](double x) { return gil_held() ? -1 : 2 * x; }, arg("x")));
    }
};

TEST_F(WithoutGil, RunsAMemberFunctionReleased) { EXPECT_EQ(evaluate("Camera().held()"), "False"); }

TEST_F(WithoutGil, RunsAFreeFunctionReleased) { EXPECT_EQ(evaluate("free_function()"), "False"); }

TEST_F(WithoutGil, RunsALambdaReleased) {
    EXPECT_EQ(evaluate("twice(x=1.5)"), "3.0");
    EXPECT_EQ(evaluate("Camera().both(41)"), "42");
}

TEST_F(WithoutGil, TakesKeywordsAndDefaults) {
    EXPECT_EQ(evaluate("Camera().scaled(2), Camera().scaled(by=3, value=2)"), "(20, 6)");
}

TEST_F(WithoutGil, TakesADocstring) {
    EXPECT_NE(evaluate("Camera.held.__doc__").find("held() -> bool"), std::string::npos);
}

TEST_F(WithoutGil, HoldsTheGilAgainWhenAnExceptionArrives) {
    try {
        evaluate("Camera().fail()");
        FAIL() << "no exception";
    } catch (handoff::python_error const& error) {
        EXPECT_EQ(error.type(), "RuntimeError");
        EXPECT_EQ(error.message(), "released");
    }
    EXPECT_FALSE(gil_held());
}

}  // namespace
