"""What must not compile does not, and says why; what is like it and right does compile."""

import json
import os
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

BEGINNING = """
#include <handoff/boost_python/fast.hpp>
#include <handoff/boost_python/init_without_gil.hpp>
#include <handoff/boost_python/interruptible.hpp>
#include <handoff/boost_python/without_gil.hpp>
#include <handoff/interpreter.hpp>
#include <boost/python.hpp>
#include <array>
#include <cstdio>
#include <map>
#include <span>
#include <string>
namespace py = boost::python;
using handoff::fast;
using handoff::init_without_gil;
using handoff::interruptible;
using handoff::without_gil;
struct shape { int sides; void grow(int); void show(py::object const&); shape& part(); };
struct opaque;
void examples(handoff::interpreter& python, py::object& o, std::pair<std::mutex, int>& mutexes) {
"""


def command():
    """What compiles tests/without_gil_test.cpp, to check a file alone."""
    for entry in json.loads(Path(os.environ["BUILD_FOLDER"], "compile_commands.json").read_text()):
        if entry["file"].endswith("/tests/without_gil_test.cpp"):
            words = shlex.split(entry["command"])
            beginning = words[: words.index("-o")]
            # A warning that is an error of its own would be taken for the one that is looked for.
            those_that_count = (
                "-Wno-error",
                "-Werror=unused-result",
                "-Werror=unused-value",  # what Clang calls it
                "-fsyntax-only",
            )
            return [*beginning, *those_that_count], entry["directory"]
    raise AssertionError("tests/without_gil_test.cpp is not compiled")


def compiled(*lines):
    """Whether that compiles, and which errors there are: {line: message}."""
    words, folder = command()
    number = BEGINNING.count("\n") + 1
    with tempfile.TemporaryDirectory() as there:
        source = Path(there, "examples.cpp")
        source.write_text(BEGINNING + "\n".join(lines) + "\n}\n")
        # Clang ends after 20 errors.
        outcome = subprocess.run(
            [*words, str(source), *(["-ferror-limit=0"] if "clang" in words[0] else [])],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    errors = {}
    asked_from, message = [], None  # GCC says it before the error, Clang after it
    for said in outcome.stderr.splitlines():
        place = re.match(r"\S*/examples\.cpp:(\d+):", said)
        line = lines[int(place[1]) - number] if place and int(place[1]) >= number else None
        if error := re.search(r"error: (.*)", said):
            message = error[1]
            for each in [*asked_from, line]:
                errors.setdefault(each, message)
            asked_from = []
        elif line and "required from here" in said:
            asked_from.append(line)
        elif line and "requested here" in said:
            errors.setdefault(line, message)
    return outcome.returncode == 0, errors, outcome.stderr


class CompileErrors(unittest.TestCase):
    def assert_refused(self, message, *lines):
        succeeded, errors, said = compiled(*lines)
        self.assertFalse(succeeded)
        for line in lines:
            with self.subTest(line):
                self.assertIn(line, errors, said)
                self.assertIn(message, errors[line])

    def test_results_that_would_dangle(self):
        self.assert_refused(
            "refers to memory of a Python object that is gone",
            'python.call<char const*>("builtins", "hex", 1);',
            'python.call<shape&>("shapes", "Shape");',
            'python.call<shape const&>("shapes", "Shape");',
            'python.call<shape*>("shapes", "Shape");',
            'python.call<std::string_view>("builtins", "hex", 1);',
            'python.call<std::span<char const>>("builtins", "bytes");',
        )

    def test_results_of_parts_that_would_dangle(self):
        self.assert_refused(
            "refers to memory of a Python object that is gone",
            'python.call<std::vector<char const*>>("builtins", "list");',
            'python.call<std::optional<std::string_view>>("builtins", "hex", 1);',
        )

    def test_results_that_are_python_objects(self):
        self.assert_refused(
            "is or holds a Python object",
            'python.call<py::object>("builtins", "list");',
            'python.call<PyObject*>("builtins", "list");',
            'python.call<py::handle<>>("builtins", "list");',
            'python.call<std::vector<py::object>>("builtins", "list");',
        )

    def test_python_objects_that_leave_invoke(self):
        self.assert_refused(
            "a Python object must not leave invoke()",
            "python.invoke([&] { return o; });",
            "python.invoke([&]() -> py::object& { return o; });",
            "python.invoke([&]() -> py::object const* { return &o; });",
            "python.invoke([&] { return py::dict(); });",
            "python.invoke([&] { return o.ptr(); });",
            'python.invoke([&] { return o.attr("x"); });',
            "python.invoke([&] { return py::handle<>(); });",
            "python.invoke([&] { return std::optional(o); });",
            "python.invoke([&] { return std::map<int, py::object>(); });",
            "python.invoke([&] { return std::array<py::object, 2>(); });",
        )

    def test_functions_without_the_gil_that_touch_python(self):
        self.assert_refused(
            "f takes or returns a Python object",
            "without_gil([](py::object) {});",
            "without_gil([](py::object const&) {});",
            "without_gil([](int, py::list&) {});",
            "without_gil([](PyObject*) {});",
            "without_gil([](PyObject* const&) {});",
            "without_gil([](PyTypeObject*) {});",
            "without_gil([](py::handle<> const&) {});",
            "without_gil([](py::back_reference<shape&>) {});",
            "without_gil([](std::vector<py::object> const&) {});",
            "without_gil([](int) { return py::object(); });",
            "without_gil([](int, int) -> PyObject* { return nullptr; });",
            'without_gil(&shape::show, py::arg("to"));',
        )

    def test_functions_without_the_gil_whose_result_would_dangle(self):
        """Boost.Python says so itself, of places in its own headers."""
        succeeded, _, said = compiled(
            "py::object f = without_gil([](shape& s) { return &s; });",
            'py::def("g", without_gil([](shape& s) -> shape const& { return s; }), "doc");',
            'py::class_<shape>("Shape").def("part", without_gil(&shape::part));',
        )
        self.assertFalse(succeeded)
        for result in ("shape*", "constshape&", "shape&"):
            missing = f"specify_a_return_value_policy_to_wrap_functions_returning<{result}>"
            self.assertIn(missing, said.replace(" ", ""))

    def test_pointers_to_data_without_the_gil(self):
        self.assert_refused("f is a pointer to a data member", "without_gil(&shape::sides);")

    def test_functions_without_the_gil_whose_parameters_are_not_known(self):
        self.assert_refused(
            "f has no parameters that can be found",
            "without_gil([](auto) {});",
            "without_gil(std::bind(&shape::grow, std::placeholders::_1, 1));",
            "without_gil(1);",
        )

    def test_fast_functions_without_the_gil_that_touch_python(self):
        self.assert_refused(
            "f takes or returns a Python object",
            "fast(without_gil([](py::object) {}));",
            "fast(without_gil([](int) { return py::object(); }));",
            "fast(without_gil(&shape::show));",
        )

    def test_fast_functions_whose_parameters_are_not_known(self):
        self.assert_refused("f is a pointer to a data member", "fast(&shape::sides);")
        self.assert_refused(
            "f has no parameters that can be found",
            "fast([](auto) {});",
            "fast(std::bind(&shape::grow, std::placeholders::_1, 1));",
        )

    def test_fast_functions_with_too_many_parameters_or_keywords(self):
        many = "fast([](" + ", ".join(["int"] * 16) + ") {})"
        self.assert_refused(
            "f has more parameters than Boost.Python takes: BOOST_PYTHON_MAX_ARITY",
            f'py::def("f", {many});',
        )
        self.assert_refused(
            "there are more keywords than f has parameters",
            'py::def("f", fast([](int) {}), (py::arg("a"), py::arg("b")));',
        )

    def test_interruptible_functions_that_nobody_can_ask_to_stop(self):
        self.assert_refused(
            "the last parameter of f must be a std::stop_token",
            "without_gil([] {}, interruptible);",
            "without_gil([](std::stop_token, int) {}, interruptible);",
            "without_gil(&shape::grow, interruptible);",
            "without_gil([](auto, std::stop_token) {}, interruptible);",
        )

    def test_interruptible_functions_that_touch_python(self):
        self.assert_refused(
            "f takes or returns a Python object",
            "without_gil([](py::object, std::stop_token) {}, interruptible);",
        )

    def test_mutexes_that_must_not_be_held_while_the_gil_is_waited_for(self):
        for line in (  # one by one: a compiler says it once
            "{ std::mutex s; handoff::mutex m; handoff::gil_lock held(s, m); }",
            "{ handoff::mutex m; handoff::gil_unique_lock held(m, std::defer_lock); held.lock(); }",
            "{ handoff::mutex m; std::unique_lock held(m); handoff::condition_variable changed;"
            " handoff::gil_wait(changed, held, [] { return true; }); }",
        ):
            self.assert_refused(
                "a handoff::mutex must not be held while its thread waits for the GIL", line
            )

    def test_constructors_without_the_gil_that_touch_python(self):
        self.assert_refused(
            "the constructor takes a Python object",
            "init_without_gil<py::object>();",
            'init_without_gil<int, py::list const&>("doc");',
            "init_without_gil<int, py::optional<int, PyObject*>>();",
            "init_without_gil<std::vector<py::object> const&>();",
        )

    def test_guards_without_a_name_which_hold_for_no_time(self):
        self.assert_refused(
            "nodiscard",
            "handoff::gil_acquire();",
            "handoff::gil_release();",
            "handoff::gil_try_acquire();",
            "handoff::gil_attachment();",
            'handoff::gil_registration("sensor");',
            'handoff::gil_label("read");',
            "handoff::gil_lock(mutexes.first);",
        )

    def test_a_registrations_name_that_does_not_live_as_long(self):
        self.assert_refused(
            "no matching ",
            "handoff::gil_registration r{std::string()};",
        )

    def test_an_owner_of_what_owns_nothing(self):
        self.assert_refused(
            "would drop no reference",
            "handoff::gil_owned<PyObject*> owned(o.ptr());",
        )

    def test_arguments_after_one_with_a_keyword(self):
        self.assert_refused(
            "without a keyword follows one with a keyword",
            'python.call("m", "f", handoff::keyword("x") = 1, 2);',
        )

    def test_what_is_right_compiles(self):
        succeeded, _, said = compiled(
            'std::string s = python.call<std::string>("builtins", "hex", 1);',
            'shape t = python.call<shape>("shapes", "Shape");',
            'python.call<std::vector<std::string>>("builtins", "list");',
            'python.call("m", "f", 1, handoff::keyword("x") = 1);',
            "int n = 0; int& same = python.invoke([&]() -> int& { return n; });",
            "python.invoke([] { return handoff::gil_owned<py::object>(py::object()); });",
            'char const* literal = python.invoke([] { return "literal"; });',
            "FILE* file = python.invoke([]() -> FILE* { return nullptr; });",
            "opaque* known = python.invoke([]() -> opaque* { return nullptr; });",
            "without_gil(&shape::grow);",
            "without_gil([](std::vector<double> const&, char const*) { return std::string(); });",
            "without_gil([](shape&, shape const*) {});",
            'py::def("f", without_gil(&shape::part), py::return_internal_reference<>());',
            "init_without_gil<int, py::optional<std::string>>();",
            "(void)s, (void)t, (void)same, (void)literal, (void)file, (void)known, (void)o;",
        )
        self.assertTrue(succeeded, said)


if __name__ == "__main__":
    unittest.main()
