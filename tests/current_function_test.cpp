// What the tools read of Python's objects by themselves: the function that is being executed.
#include "embedded_python.hpp"
#include <handoff/gil.hpp>

#include <boost/python.hpp>
#include <boost/python/stl_iterator.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <current_function.hpp>
#include <string>
#include <vector>

extern "C" handoff_python_layout handoff_python_layout_of_headers();

namespace {

namespace py = boost::python;
using handoff::detail::function_reader;
using handoff::detail::running_python;
using testing::ElementsAre;

std::string text_of(function_reader const& reader, void const* str, std::size_t room = 100) {
    std::string text(room, '\0');
    text.resize(static_cast<std::size_t>(reader.write_utf8(str, text) - text.data()));
    return text;
}

/// What a script calls: the function that calls it, as the tools see it.
py::str caller() {
    function_reader const reader(*running_python::find());
    auto const found = reader.current(PyThreadState_Get());
    if (found.code == nullptr) {
        return py::str("nothing");
    }
    return py::str(text_of(reader, found.name) + " (" + text_of(reader, found.file) + ":" +
                   std::to_string(found.line) + ")");
}

/// What a script calls: the line of the call.
int line() { return function_reader(*running_python::find()).current_line(PyThreadState_Get()); }

/// The list `seen` that a script leaves, in which caller() is known.
std::vector<std::string> seen_by(std::string const& script) {
    std::vector<std::string> seen;
    embedded_python::python().invoke([&] {
        py::dict names;
        names["__builtins__"] = py::import("builtins");
        names["seen"] = py::list();
        names["caller"] = py::make_function(&caller);
        names["line"] = py::make_function(&line);
        py::exec(py::str(script), names);
        py::stl_input_iterator<std::string> begin(names["seen"]);
        seen.assign(begin, {});
    });
    return seen;
}

#ifdef Py_GIL_DISABLED
constexpr bool is_free_threaded = true;
#else
constexpr bool is_free_threaded = false;
#endif

TEST(CurrentFunction, HasTheLayoutOfThisPythonsHeaders) {
    auto const of_headers = handoff_python_layout_of_headers();
    auto const* const known = function_reader::layout_of(PY_VERSION_HEX, is_free_threaded);
    ASSERT_NE(known, nullptr);
    EXPECT_EQ(known->version, of_headers.version);
    EXPECT_EQ(known->object_type, of_headers.object_type);
    EXPECT_EQ(known->thread_next, of_headers.thread_next);
    EXPECT_EQ(known->thread_state, of_headers.thread_state);
    EXPECT_EQ(known->thread_number, of_headers.thread_number);
    EXPECT_EQ(known->frame_copy, of_headers.frame_copy);
    EXPECT_EQ(known->code_copies, of_headers.code_copies);
    EXPECT_EQ(known->size_of_object, of_headers.size_of_object);
    EXPECT_EQ(known->thread_frame, of_headers.thread_frame);
    EXPECT_EQ(known->cframe_frame, of_headers.cframe_frame);
    EXPECT_EQ(known->frame_executable, of_headers.frame_executable);
    EXPECT_EQ(known->frame_previous, of_headers.frame_previous);
    EXPECT_EQ(known->frame_owner, of_headers.frame_owner);
    EXPECT_EQ(known->frame_instruction, of_headers.frame_instruction);
    EXPECT_EQ(known->code_lines, of_headers.code_lines);
    EXPECT_EQ(known->code_instructions, of_headers.code_instructions);
    EXPECT_EQ(known->code_line, of_headers.code_line);
    EXPECT_EQ(known->code_file, of_headers.code_file);
    EXPECT_EQ(known->code_name, of_headers.code_name);
    EXPECT_EQ(known->text_ascii, of_headers.text_ascii);
    EXPECT_EQ(known->text_other, of_headers.text_other);
}

TEST(CurrentFunction, IsKnownOfEachVersionThatTheToolsAreFor) {
    for (unsigned long const version :
         {0x030B02F0UL, 0x030C00F0UL, 0x030D00F0UL, 0x030E00F0UL, 0x030F00F0UL}) {
        EXPECT_NE(function_reader::layout_of(version, false), nullptr) << std::hex << version;
    }
    EXPECT_EQ(function_reader::layout_of(0x030A00F0, false), nullptr);
    EXPECT_EQ(function_reader::layout_of(0x031000F0, false), nullptr);
}

TEST(CurrentFunction, IsTheInnermostOfPython) {
    EXPECT_THAT(seen_by("def outer():\n"
                        "    def inner():\n"
                        "        seen.append(caller())\n"
                        "    inner()\n"
                        "    seen.append(caller())\n"
                        "outer()\n"
                        "class Sensor:\n"
                        "    def read(self, _=None):\n"
                        "        seen.append(caller())\n"
                        "sorted([1], key=Sensor().read)\n"  // called by C
                        "def generated():\n"
                        "    yield seen.append(caller())\n"
                        "next(generated())\n"
                        "seen.append(caller())\n"),
                ElementsAre("outer.<locals>.inner (<string>:2)", "outer (<string>:1)",
                            "Sensor.read (<string>:8)", "generated (<string>:11)",
                            "<module> (<string>:1)"));
}

TEST(CurrentFunction, IsAtTheLineThatIsExecuted) {
    EXPECT_THAT(seen_by("def f():\n"
                        "    seen.append(str(line()))\n"
                        "    text = (\n"
                        "        '',\n"
                        "        str(line()),\n"
                        "    )\n"
                        "    for n in range(2):\n"
                        "        n += 1\n"
                        "        seen.append(str(line()) + text[1])\n" +
                        std::string(100, '\n') +
                        "    seen.append(str(line()))\n"
                        "f()\n"
                        "seen.append(str(line()))\n"),
                ElementsAre("2", "95", "95", "110", "112"));
}

TEST(CurrentFunction, HasItsNameInAnyLanguage) {
    EXPECT_THAT(
        seen_by("for name in 'größe', 'Ελένη', '名前', '𝒽':\n"
                "    code = f'def {name}():\\n    seen.append(caller())\\n{name}()'\n"
                "    exec(compile(code, f'/{name}/\\U0001F40D.py', 'exec'))\n"
                "exec(compile('seen.append(caller())', 'half\\udcff.py', 'exec'))\n"),
        ElementsAre("größe (/größe/🐍.py:1)", "Ελένη (/Ελένη/🐍.py:1)", "名前 (/名前/🐍.py:1)",
                    "h (/𝒽/🐍.py:1)", "<module> (half\xEF\xBF\xBD.py:1)"));
}

TEST(CurrentFunction, IsNoneOfAThreadThatExecutesNoPython) {
    embedded_python::python().invoke(
        [] { EXPECT_EQ(py::extract<std::string>(caller())(), "nothing"); });
}

TEST(CurrentFunction, HasItsNameCutAtACharacter) {
    embedded_python::python().invoke([] {
        function_reader const reader(*running_python::find());
        py::str const text("aé名");
        EXPECT_EQ(text_of(reader, text.ptr(), 6), "aé名");
        EXPECT_EQ(text_of(reader, text.ptr(), 5), "aé");
        EXPECT_EQ(text_of(reader, text.ptr(), 2), "a");
        EXPECT_EQ(text_of(reader, text.ptr(), 0), "");
    });
}

}  // namespace
