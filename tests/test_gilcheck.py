"""The GIL checker: under the stock interpreter, in the host, and preloaded."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
import zipfile
from pathlib import Path

from host import (
    HOST,
    IS_EMULATED,
    STOCK,
    WITHOUT_GIL,
    InFolder,
    Outcome,
    environment,
    finish,
    start,
    wait_until_asleep,
)

MODULES = os.environ["MODULES_FOLDER"]
PACKAGES = os.environ["PYTHON_PACKAGES"]
WORKLOADS = Path(__file__).resolve().parent / "stress" / "workloads"
DOCS = Path(__file__).resolve().parent.parent / "docs"
LIBRARY = str(Path(PACKAGES) / "gilcheck" / "libgilcheck.so")
# What a module calls that drops the last reference: another thread's is counted by a call there.
DROPS_THE_LAST = "_Py_DecRefShared" if WITHOUT_GIL else "_Py_Dealloc"
OPTIONS = (
    *("--settings", "--deadlocks", "--python-locks", "--budget", "--statistics"),
    *("--children", "--no-calls"),
    *("--log", "--suppressions", "--baseline", "--write-baseline"),
    *("--pid", "--within", "--includes", "--version"),
)


class Checked(InFolder):
    """Each test asks every way to check a program."""

    def run_command(self, *command, **variables):
        process = start(*command, cwd=self.folder, env=environment(**variables))
        return finish(process, aborts=True)

    def checked(self, code, settings="abort,json"):
        """(the way, its outcome) of each."""
        code = f"import sys; sys.path.insert(0, {MODULES!r})\n{code}"
        paths = {"PYTHONPATH": PACKAGES}
        module = ("-m", "gilcheck", "--settings", settings, "-c", code)
        yield "module", self.run_command(STOCK, *module, **paths)
        yield "host", self.run_command(HOST, "-X", f"gilcheck={settings}", "-c", code, **paths)
        preloaded = {"LD_PRELOAD": LIBRARY, "GILCHECK": settings, **paths}
        yield "preloaded", self.run_command(STOCK, "-c", code, **preloaded)

    def reports(self, outcome):
        return [json.loads(line) for line in outcome.stderr.splitlines() if line.startswith("{")]

    def goes_on(self, code, settings="warn,json", count=1):
        """The program runs to its end, after so many reports in each way, which are returned."""
        reports = []
        for way, outcome in self.checked(code, settings):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stdout), (66, "end\n"), outcome)
                self.assertEqual(len(self.reports(outcome)), count)
                reports += self.reports(outcome)
        return reports

    def the_report(self, outcome):
        self.assertEqual(outcome.code, -signal.SIGABRT, outcome)
        (report,) = self.reports(outcome)
        return report


class Report(Checked):
    def test_of_a_thread_that_never_acquired_the_gil(self):
        for way, outcome in self.checked("import misuse_c; misuse_c.never_acquired([])"):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertEqual(report["function"], "PyList_Size")
                self.assertEqual(report["because"], "never_acquired")
                self.assertEqual(report["thread"]["name"], "never")
                self.assertFalse(report["thread"]["known_to_python"])
                self.assertIn("gil_acquire", report["what_to_do"])

    def test_of_the_questions_program(self):
        code = "import misuse_boost, time; f = misuse_boost.Foo(); f.start(); time.sleep(10)"
        for way, outcome in self.checked(code):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertEqual(report["function"], "PyObject_Size")
                self.assertEqual(report["because"], "never_acquired")
                self.assertIn("misuse_boost", report["stack"][0]["file"])
                self.assertRegex(report["at"]["source"], r"\bmisuse_boost\.cpp:\d+$")

    def assert_found_in_a_peers_module(self, name, functions):
        if not Path(MODULES, f"{name}.so").exists():
            self.skipTest(f"{name} was not built: `make detect` installs what it is built with")
        code = f"import {name}, time; f = {name}.Foo(); f.start(); time.sleep(10)"
        for way, outcome in self.checked(code):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertIn(report["function"], functions)
                self.assertEqual(report["because"], "never_acquired")
                self.assertFalse(report["thread"]["known_to_python"])
                self.assertIn(name, report["stack"][0]["file"])
                self.assertRegex(report["at"]["source"], rf"\b{name}\.cpp:\d+$")

    def test_of_a_module_of_pybind11(self):
        self.assert_found_in_a_peers_module("misuse_pybind11", {"PyList_Size"})

    def test_of_a_module_of_nanobind(self):
        self.assert_found_in_a_peers_module("misuse_nanobind", {"PyLong_FromUnsignedLong"})

    def test_that_is_being_made_when_the_process_ends(self):
        """What looks up the first line of source waits until the program has ended."""
        os.mkfifo(self.folder / "asked")
        os.mkfifo(self.folder / "answer")
        once = "[ -e once ] || { touch once; echo > asked; read _ < answer; }"
        self.write("addr2line", f"#!/bin/sh\n{once}\n").chmod(0o755)
        code = (
            f"import sys; sys.path.insert(0, {MODULES!r})\n"
            "import atexit, misuse_c; misuse_c.start([]); input()\n"
            "atexit.register(print, 'ends', flush=True)"
        )
        process = start(
            *(STOCK, "-m", "gilcheck", "--settings", "abort,json", "-c", code),
            stdin=subprocess.PIPE,
            cwd=self.folder,
            env=environment(PYTHONPATH=PACKAGES, PATH=f"{self.folder}:{os.environ['PATH']}"),
        )
        (self.folder / "asked").read_text()
        process.stdin.write(b"\n")
        self.assertEqual(process.stdout.readline(), b"ends\n")
        wait_until_asleep(process)
        (self.folder / "answer").write_text("\n")
        report = self.the_report(finish(process, aborts=True))
        self.assertEqual(report["function"], "PyList_Append")

    def test_names_the_holder_and_where_its_python_is(self):
        code = "import misuse_c\ndef holds():\n    misuse_c.beside_a_holder([])\nholds()"
        for way, outcome in self.checked(code):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertNotEqual(report["holder"]["id"], report["thread"]["id"])
                innermost, *others = report["holder"]["python"].splitlines()
                self.assertIn("in holds", innermost)
                self.assertEqual(len(others), 1)

    def test_of_a_release_by_a_thread_that_does_not_hold_it(self):
        """CPython crashes, or says that a thread state is wrong."""
        for call, function, advice in (
            (
                "released_twice",
                "PyEval_SaveThread",
                r"released it before, in .*released_twice.*: release it once",
            ),
            ("ended_twice", "PyGILState_Release", r"each PyGILState_Ensure\(\) wants one"),
        ):
            for way, outcome in self.checked(f"import misuse_c; misuse_c.{call}([])"):
                with self.subTest(call, way=way):
                    report = self.the_report(outcome)
                    self.assertEqual(
                        (report["because"], report["function"]), ("released", function)
                    )
                    self.assertRegex(report["what_to_do"], advice)

    def test_of_a_call_in_a_region_that_released_the_gil(self):
        for way, outcome in self.checked("import misuse_c; misuse_c.released([])"):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertEqual(report["because"], "released")
                self.assertIsNone(report["holder"])
                self.assertTrue(report["thread"]["known_to_python"])
                (place,) = report["released_at"]
                self.assertIn("misuse_c", place["file"])

    def test_tells_a_holder_that_has_ended_from_one_that_runs(self):
        for function, ended in ("after_a_holder_has_ended", True), ("beside_a_holder", False):
            for way, outcome in self.checked(f"import misuse_c; misuse_c.{function}([])"):
                with self.subTest(f"{function}, {way}"):
                    self.assertIs(self.the_report(outcome)["holder"]["ended"], ended)
        code = "import misuse_c; misuse_c.after_a_holder_has_ended([])"
        for way, outcome in self.checked(code, "abort"):
            with self.subTest(way):
                self.assertIn("took the GIL last, and ended without releasing it", outcome.stderr)

    def test_of_a_call_after_the_guard(self):
        for way, outcome in self.checked("import misuse_c; misuse_c.after_the_guard([])"):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertEqual(report["because"], "released")
                self.assertEqual(len(report["released_at"]), 1)

    def test_of_a_call_after_the_end_of_a_python_that_began_after_the_check(self):
        """By the thread that ended it, in a program that loads nothing meanwhile."""
        program = self.folder / "program"
        program.with_suffix(".c").write_text(
            "#include <Python.h>\n"
            "int main(void) {\n"
            "    Py_Initialize();\n"
            "    PyObject* kept = PyList_New(3);\n"
            "    Py_FinalizeEx();\n"
            "    return (int)PyObject_Size(kept) == 99;\n"
            "}\n"
        )
        asked = "import sysconfig as s; print(s.get_path('include'), s.get_config_var('LDVERSION'))"
        headers, version = self.run_command(STOCK, "-c", asked).stdout.split()
        command = ("cc", program.with_suffix(".c"), f"-I{headers}", f"-lpython{version}")
        made = self.run_command(*map(str, command), "-o", str(program))
        if made.code:
            self.skipTest(f"there is no C compiler, or no shared libpython: {made.stderr}")
        preloaded = {"LD_PRELOAD": LIBRARY, "GILCHECK": "abort,json"}
        outcome = self.run_command(str(program), **preloaded)
        report = json.loads(outcome.stderr.splitlines()[0])
        self.assertEqual((report["function"], report["because"]), ("PyObject_Size", "finalized"))

    def test_of_a_thread_that_outlives_python(self):
        for way, outcome in self.checked("import misuse_c; misuse_c.finalized()"):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertEqual(report["because"], "finalized")

    def test_names_a_thread_of_pythons_as_python_does(self):
        code = (
            "import misuse_c, threading\n"
            "work = threading.Thread(target=misuse_c.released, args=([],), name='loader')\n"
            "work.start(); work.join()"
        )
        for way, outcome in self.checked(code):
            with self.subTest(way):
                self.assertEqual(self.the_report(outcome)["thread"]["name"], "loader")

    def test_names_a_native_thread_that_python_has_seen_as_it_is_named(self):
        code = "import misuse_c, threading; misuse_c.after_a_call(threading.current_thread)"
        for way, outcome in self.checked(code):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertEqual(report["function"], "PyObject_Size")
                self.assertEqual(report["thread"]["name"], "native")

    def test_of_a_captured_object_that_dies_after_the_guard(self):
        for way, outcome in self.checked("import misuse_c; misuse_c.captured()"):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertEqual(report["function"], DROPS_THE_LAST)
                self.assertIn("captured by a lambda", report["what_to_do"])
                self.assertIn("gil_owned", report["what_to_do"])

    def test_of_what_the_thread_that_ended_python_does_after_it(self):
        for call, function in (
            ("kept_for_ever([])", DROPS_THE_LAST),
            ("at_c_exit()", "PyErr_Occurred"),
        ):
            for way, outcome in self.checked(f"import misuse_c; misuse_c.{call}"):
                with self.subTest(f"{call}, {way}"):
                    report = self.the_report(outcome)
                    self.assertEqual(
                        (report["because"], report["function"]), ("finalized", function)
                    )
                    self.assertIsNone(report["holder"])
                    self.assertIn("static storage", report["what_to_do"])

    def test_of_inlined_counting_in_a_module_that_is_compiled_for_it(self):
        for way, outcome in self.checked("import misuse_inline_seen as m; m.count([])"):
            with self.subTest(way):
                self.assertEqual(self.the_report(outcome)["function"], "Py_IncRef")

    def test_of_a_module_that_was_loaded_before(self):
        code = (
            "import gilcheck, misuse_c; misuse_c.guarded([]); gilcheck.start('abort,json')\n"
            "misuse_c.never_acquired([])"
        )
        paths = {"PYTHONPATH": f"{PACKAGES}:{MODULES}"}
        report = self.the_report(self.run_command(STOCK, "-c", code, **paths))
        self.assertEqual(report["function"], "PyList_Size")

    def test_in_words(self):
        for way, outcome in self.checked("import misuse_c; misuse_c.never_acquired([])", "abort"):
            with self.subTest(way):
                self.assertEqual(outcome.code, -signal.SIGABRT)
                self.assertRegex(
                    outcome.stderr,
                    r"gilcheck: PyList_Size\(\) was called without the GIL, by .*never_acquired\(.*"
                    r" in misuse_c\.so \(lines unknown: compile it with -g\)\n",
                )
                self.assertRegex(
                    outcome.stderr,
                    r"\n  thread   \d+ 'never', which Python does not know\n  holder   ",
                )
                self.assertRegex(outcome.stderr, r"#0 .*never_acquired.*  in .*/misuse_c\.so\+0x")
                self.assertIn("  do       This thread never acquired the GIL.", outcome.stderr)

    def test_in_words_of_where_the_holders_python_is(self):
        code = "import misuse_c\ndef holds():\n    misuse_c.beside_a_holder([])\nholds()"
        for way, outcome in self.checked(code, "warn"):
            with self.subTest(way):
                self.assertRegex(
                    outcome.stderr,
                    r"\n  holder   the main thread \(\d+\) holds the GIL now\n"
                    r"    Python: holds\(\) at <string>:4\n"
                    r"            <module> at <string>:5\n"
                    r"  C\+\+\n",
                )

    def test_of_a_deep_stack_says_how_much_is_left_out(self):
        for way, outcome in self.checked("import misuse_c; misuse_c.deep(150)"):
            with self.subTest(way):
                report = self.the_report(outcome)
                self.assertGreater(report["left_out"], 50)
                self.assertLess(len(report["stack"]) + report["left_out"], 170)
                self.assertGreaterEqual(len(report["stack"]) + report["left_out"], 151)
        for way, outcome in self.checked("import misuse_c; misuse_c.deep(150)", "warn"):
            with self.subTest(way):
                self.assertRegex(outcome.stderr, r"      #\d+  .*\n      … \d+ more\n  do ")
        for way, outcome in self.checked("import misuse_c; misuse_c.deep(5)"):
            with self.subTest(way):
                self.assertEqual(self.the_report(outcome)["left_out"], 0)

    def test_names_the_program_as_it_is_found_from_anywhere(self):
        """Also where it was found in a folder of PATH."""
        python = Path(STOCK)
        code = f"import sys; sys.path.insert(0, {MODULES!r}); import misuse_c; misuse_c.released(1)"
        outcome = self.run_command(
            *(python.name, "-m", "gilcheck", "--settings", "abort,json", "-c", code),
            PYTHONPATH=PACKAGES,
            PATH=f"{python.parent}:{os.environ['PATH']}",
        )
        files = {each["file"] for each in self.the_report(outcome)["stack"]}
        self.assertEqual({each for each in files if not each.startswith("/")}, set())

    def test_says_what_is_missing_for_lines_and_no_more(self):
        """The tool, debug information, or both; and where it is stripped, that."""
        stripped = self.folder / "misuse_c.so"
        strip = shutil.which("strip")
        self.assertIsNotNone(strip, "binutils is not installed, which is there with a compiler")
        subprocess.run([strip, "-o", stripped, f"{MODULES}/misuse_c.so"], check=True)
        (self.folder / "empty").mkdir()
        install = r"install addr2line \(package binutils\), which is in no folder of PATH"
        with_tool, without_tool = os.environ["PATH"], str(self.folder / "empty")
        question = "import misuse_boost, time; f = misuse_boost.Foo(); f.start(); time.sleep(10)"
        never = "import misuse_c; misuse_c.never_acquired([])"
        for code, path, folder, said in (
            (never, with_tool, MODULES, r"in misuse_c\.so \(lines unknown: compile it with -g\)"),
            (
                *(never, without_tool, MODULES),
                rf"in misuse_c\.so \(lines unknown: compile it with -g; and {install}\)",
            ),
            (question, without_tool, MODULES, rf"in misuse_boost\.so \(lines unknown: {install}\)"),
            (
                *(never, with_tool, self.folder),
                r"in misuse_c\.so\+0x\w+ \(no symbols: link it without -s, and do not strip it\)",
            ),
        ):
            with self.subTest(code=code, path=path):
                code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
                outcome = self.run_command(
                    *(STOCK, "-m", "gilcheck", "--settings", "abort", "-c", code),
                    PYTHONPATH=PACKAGES,
                    PATH=path,
                )
                self.assertRegex(outcome.stderr, rf"^gilcheck: .* {said}\n")

    def test_of_a_call_that_left_no_frame(self):
        """The compiler has made it a jump: libstdc++, which is the caller now, is not to blame."""
        for way, outcome in self.checked("import misuse_c; misuse_c.as_the_last_call([])", "abort"):
            with self.subTest(way):
                self.assertRegex(
                    outcome.stderr,
                    r"gilcheck: PyList_Size\(\) was called without the GIL, by a function that is "
                    r"not on its stack, .* -fno-optimize-sibling-calls to see it\n",
                )


class Documented(Checked):
    """What the pages show of a report is what a reader gets who does what they show."""

    def shown(self, page):
        """The page's first report, as a pattern: any process, build and folder."""
        text = re.search(r"^gilcheck: .*?(?=^```)", (DOCS / page).read_text(), re.M | re.S)[0]
        for shown, meant in (
            (r"\(\d+ more", r"\(\d+ more"),
            (r"…\n", r".*\n"),
            (r"  thread   \d+,", r"  thread   \d+,"),
            (r"the main thread \(\d+\)", r"the main thread \(\d+\)"),
            (r"\+0x\w+", r"\+0x\w+"),
            (r"/(?:home/you|usr/include)/", r"\S*/"),
            (r"(?<!Foo\.cpp):\d+", r":\d+"),
            (r"\{lambda\(\)#1\}", r"(?:\{lambda\(\)#1\}|\$_0)"),  # as GCC and Clang name it
            # Or the main thread, on its way to where it sleeps.
            (r"nobody holds the GIL now\n", r"(?:nobody\b.*|the main thread .*\n    Python: .*)\n"),
        ):
            text = re.sub(shown, lambda _, its=meant: f"\0{its}\0", text)
        parts = text.split("\0")
        return "".join(re.escape(part) if n % 2 == 0 else part for n, part in enumerate(parts))

    def report_of(self, script):
        self.write("script.py", script)
        outcome = self.run_command(
            *(STOCK, "-m", "gilcheck", "--settings", "abort", "script.py"),
            PYTHONPATH=f"{MODULES}/crash:{PACKAGES}",  # which have a Foo, too
        )
        return outcome.stderr

    def test_of_the_crash(self):
        script = (DOCS / "crash" / "script.py").read_text()
        self.assertRegex(self.report_of(script), f"^{self.shown('crash.md')}$")
        code = re.search(r"```cpp\n(.*?)```", (DOCS / "crash.md").read_text(), re.DOTALL)[1]
        source = re.sub("^    ", "", (DOCS / "crash" / "Foo.cpp").read_text(), flags=re.MULTILINE)
        self.assertIn(code, source)

    def test_of_one_beside_a_holder(self):
        script = """
            import Foo
            foo = Foo.Foo()
            foo.start()
            while True:
                pass
            """
        self.assertRegex(self.report_of(script), f"^{self.shown('gilcheck.md')}$")


class Crash(Checked):
    """A program that dies without a report is told of what the checker does not see."""

    SENTENCE = re.compile(r"^gilcheck: the program dies of (\w+), and nothing was reported: ", re.M)

    def dies(self, code, number, *others, times=1):
        for way, outcome in self.checked(code, "warn"):
            with self.subTest(code, way=way):
                self.assertEqual(outcome.code, -number, outcome)
                found = self.SENTENCE.findall(outcome.stderr)
                self.assertEqual(found, [signal.Signals(number).name] * times, outcome)
                for other in others:
                    self.assertIn(other, outcome.stderr)

    def test_by_a_fault_or_an_abort(self):
        counts = "import misuse_inline as m; m.count([]); import ctypes, os; "
        self.dies(f"{counts}ctypes.string_at(0)", signal.SIGSEGV, "gilcheck_inline.h")
        self.dies(f"{counts}os.abort()", signal.SIGABRT, "gilcheck_inline.h", "-DNDEBUG")

    def test_by_an_abort_while_python_ends(self):
        code = "import os\nclass Dies:\n    def __del__(self, how=os.abort): how()\nkept = Dies()"
        for way, outcome in self.checked(code, "warn"):
            with self.subTest(way):
                self.assertEqual(outcome.code, -signal.SIGABRT, outcome)
                said = "dies of SIGABRT while Python ends. A std::thread that is destroyed before "
                self.assertIn(said, outcome.stderr)
                old = sys.version_info < (3, 14)
                self.assertEqual("Up to 3.13, CPython then ends" in outcome.stderr, old)
                self.assertNotRegex(outcome.stderr, self.SENTENCE)

    def test_by_an_exception_that_nobody_catches(self):
        for way, outcome in self.checked("import misuse_c; misuse_c.uncaught([])", "warn"):
            with self.subTest(way):
                self.assertEqual(outcome.code, -signal.SIGABRT, outcome)
                self.assertRegex(
                    outcome.stderr,
                    r"terminate called after throwing an instance of 'std::runtime_error'[^@]*"
                    r"gilcheck: the program dies of SIGABRT, and a C\+\+ exception is in progress",
                )
                self.assertNotRegex(outcome.stderr, self.SENTENCE)

    def test_is_told_where_only_a_lock_order_was_reported(self):
        code = (
            f"import sys; sys.path[:0] = [{MODULES!r}, {MODULES!r} + '/lock_orders/c']\n"
            "import lock_orders, ctypes; lock_orders.mutex_faulty(); ctypes.string_at(0)"
        )
        command = (STOCK, "-m", "gilcheck", "--deadlocks", "-c", code)
        outcome = self.run_command(*command, PYTHONPATH=PACKAGES)
        self.assertEqual(outcome.code, -signal.SIGSEGV, outcome)
        self.assertIn("gilcheck: possible deadlock: ", outcome.stderr)
        self.assertIn("dies of SIGSEGV. What is reported above is another matter", outcome.stderr)

    def test_by_a_signal_that_is_sent(self):
        code = "import os, time; time.sleep(0); os.kill(os.getpid(), 7)"  # the GIL was taken once
        self.dies(code, signal.SIGBUS)

    def test_in_the_child_of_a_fork(self):
        self.goes_down("ctypes.string_at(0)", 1)

    def goes_down(self, crash, times):
        code = (
            "import ctypes, os\n"
            f"if os.fork() == 0: {crash}\n"
            "print(os.waitstatus_to_exitcode(os.wait()[1]))"
        )
        for way, outcome in self.checked(code, "warn"):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stdout), (0, f"{-signal.SIGSEGV}\n"))
                self.assertEqual(len(self.SENTENCE.findall(outcome.stderr)), times)

    def test_is_not_where_there_was_a_report(self):
        code = "import ctypes, misuse_c; misuse_c.never_acquired([]); ctypes.string_at(0)"
        self.dies(code, signal.SIGSEGV, "PyList_Size", times=0)

    def test_by_sigterm_waits_for_a_report_that_is_being_made(self):
        """As of a worker that multiprocessing terminates."""
        begun, goes_on = self.folder / "begun", self.folder / "goes_on"
        slow = self.write(
            "bin/addr2line",
            f"""\
            #!/bin/sh
            touch {begun}
            while [ ! -e {goes_on} ]; do sleep 0.01; done
            exec {shutil.which("addr2line")} "$@"
            """,
        )
        slow.chmod(0o755)
        code = (
            f"import sys; sys.path.insert(0, {MODULES!r})\n"
            "import misuse_c, threading, time\n"
            "threading.Thread(target=misuse_c.never_acquired, args=([],), daemon=True).start()\n"
            "time.sleep(60)"
        )
        changed = environment(PYTHONPATH=PACKAGES, PATH=f"{slow.parent}:{os.environ['PATH']}")
        process = start(STOCK, "-m", "gilcheck", "-c", code, cwd=self.folder, env=changed)
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
        goes_on.touch()
        outcome = finish(process)
        self.assertEqual(outcome.code, -signal.SIGTERM, outcome)
        self.assertRegex(outcome.stderr, r"^gilcheck: PyList_Size\(\) was called without the GIL")
        self.assertNotRegex(outcome.stderr, self.SENTENCE)

    def test_beside_faulthandler(self):
        stack = "most recent call first"
        code = "import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(0)"
        self.dies(code, signal.SIGSEGV, stack)
        code = "import ctypes; ctypes.string_at(0)"
        for command in (
            (STOCK, "-X", "faulthandler", "-m", "gilcheck", "-c", code),
            (HOST, "-X", "faulthandler", "-X", "gilcheck", "-c", code),
        ):
            with self.subTest(command):
                outcome = self.run_command(*command, PYTHONPATH=PACKAGES)
                self.assertEqual(outcome.code, -signal.SIGSEGV, outcome)
                self.assertEqual(len(self.SENTENCE.findall(outcome.stderr)), 1)
                self.assertIn(stack, outcome.stderr)

    def test_leaves_the_programs_handlers_alone(self):
        """Python knows of none but its own, and one that was there before stays."""
        code = (
            "import signal\n"
            "for each in signal.SIGSEGV, signal.SIGABRT:\n"
            "    assert signal.getsignal(each) == signal.SIG_DFL, signal.getsignal(each)\n"
            "signal.signal(signal.SIGABRT, lambda *_: print('handled', flush=True))\n"
            "signal.raise_signal(signal.SIGABRT)"
        )
        for way, outcome in self.checked(code, "warn"):
            with self.subTest(way):
                self.assertEqual(outcome, Outcome(0, "handled\n", ""))
        code = (
            "import signal\n"
            "signal.signal(signal.SIGABRT, lambda *_: print('handled', flush=True))\n"
            "import gilcheck; gilcheck.start()\n"
            "signal.raise_signal(signal.SIGABRT)"
        )
        outcome = self.run_command(STOCK, "-c", code, PYTHONPATH=PACKAGES)
        self.assertEqual(outcome, Outcome(0, "handled\n", ""))


class HarmsNothing(Checked):
    """A report is made in the program's process, which goes on as if there had been none."""

    def check(self, *statements):
        code = "\n".join(("import os, signal, misuse_c", *statements, "print('end')"))
        for report in self.goes_on(code):
            if not WITHOUT_GIL:  # nobody holds it there
                self.assertIn(", line ", report["holder"]["python"])

    def test_files_that_have_the_numbers_of_closed_descriptors(self):
        # What every classic daemon does: it closes all descriptors, then opens its own files.
        self.check(
            "os.closerange(3, 256)",
            "files = [open(f'mine.{n}', 'w+') for n in range(8)]",
            "for file in files: file.write('precious'); file.flush()",
            "misuse_c.beside_a_holder([])",
            "for file in files: file.write(' things'); file.close()",
            "kept = {open(f'mine.{n}').read() for n in range(8)}",
            "assert kept == {'precious things'}, kept",
        )

    def test_without_the_first_descriptors(self):
        self.check(
            "saved = [os.dup(n) for n in range(2)]",
            "os.closerange(0, 2)",
            "misuse_c.beside_a_holder([])",
            "for n in range(2): os.dup2(saved[n], n)",
        )

    def test_a_file_that_has_the_number_of_stderr_which_was_closed(self):
        """From the beginning, as `2>&-` in a shell has it."""
        code = (
            "import misuse_c, os\n"
            "file = open('mine', 'w+')\n"
            "if file.fileno() != 2: print('other', flush=True); os._exit(0)\n"
            "file.write('precious'); file.flush()\n"
            "misuse_c.never_acquired([])\n"
            "file.write(' things'); file.close()\n"
            "print('end')"
        )
        self.write("program.py", f"import sys; sys.path.insert(0, {MODULES!r})\n{code}\n")
        script = f'"{STOCK}" -m gilcheck program.py 2>&-'
        outcome = self.run_command("/bin/sh", "-c", script, PYTHONPATH=PACKAGES)
        if outcome.stdout == "other\n":
            self.skipTest("this Python keeps the number of a stderr that was closed")
        self.assertEqual((outcome.code, outcome.stdout), (66, "end\n"), outcome)
        self.assertEqual((self.folder / "mine").read_text(), "precious things")

    def test_a_thread_that_may_open_no_file_as_it_begins(self):
        self.check(
            "import sys, threading",
            "thread = threading.Thread(target=misuse_c.beside_a_holder, args=([],), name='sealed')",
            "def refuse(event, arguments):",
            "    if event == 'open': raise RuntimeError('none is opened')",
            "sys.addaudithook(refuse)",
            "thread.start(); thread.join()",
        )

    @unittest.skipIf(IS_EMULATED, "qemu makes no child that ends without SIGCHLD")
    def test_whoever_waits_for_children(self):
        self.check(
            "children = []",
            "signal.signal(signal.SIGCHLD, lambda *_: children.append(1))",
            "misuse_c.beside_a_holder([])",
            "try: children.append(os.waitpid(-1, os.WNOHANG))",
            "except ChildProcessError: pass",
            "assert children == [], children",
        )

    def test_a_thread_that_blocks_all_signals(self):
        self.check(
            "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
            "misuse_c.beside_a_holder([])",
            "assert signal.sigpending() == set()",
        )

    def test_whoever_takes_the_signal(self):
        """Which a report uses otherwise: then it does without the holder's stack."""
        code = (
            "import os, signal, misuse_c\n"
            "seen = []\n"
            "for each in range(signal.SIGRTMIN, signal.SIGRTMAX + 1):\n"
            "    signal.signal(each, lambda number, _: seen.append(number))\n"
            "misuse_c.beside_a_holder([])\n"
            "assert seen == [], seen\n"
            "print('end')"
        )
        self.goes_on(code)


class Settings(Checked):
    CODE = (
        "import misuse_c\n"
        "for _ in range(3): misuse_c.never_acquired([])\n"
        "misuse_c.released([]); print('end')"
    )

    def test_warn_reports_each_place_once_and_goes_on(self):
        self.goes_on(self.CODE, "warn,json", 2)

    def test_warn_is_what_it_is_without_any(self):
        self.goes_on(self.CODE, "json", 2)
        code = f"import sys; sys.path.insert(0, {MODULES!r})\n{self.CODE}"
        for command in ((STOCK, "-m", "gilcheck"), (HOST, "-X", "gilcheck")):
            with self.subTest(command):
                outcome = self.run_command(*command, "-c", code, PYTHONPATH=PACKAGES)
                self.assertEqual((outcome.code, outcome.stdout), (66, "end\n"), outcome)

    def test_once_reports_one_place(self):
        self.goes_on(self.CODE, "once,json", 1)

    def test_leaves_another_exit_code(self):
        code = "import misuse_c; misuse_c.released([]); raise SystemExit(3)"
        for way, outcome in self.checked(code, "warn,json"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 3)

    def test_leaves_a_childs_exit_code_alone_that_has_found_nothing(self):
        """Its parent has."""
        code = (
            "import misuse_c, os, sys\n"
            "misuse_c.released([])\n"
            "if os.fork() == 0: sys.exit(0)\n"
            "print(os.waitstatus_to_exitcode(os.wait()[1])); print('end')"
        )
        for way, outcome in self.checked(code, "warn,json"):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stdout), (66, "0\nend\n"), outcome)

    def assert_refused(self, wrong, said):
        for way, outcome in self.checked("print(1)", wrong):
            with self.subTest(way, wrong=wrong):
                self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                self.assertIn(said, outcome.stderr)
                self.assertEqual(list(self.folder.iterdir()), [])

    def test_that_are_unknown_are_refused(self):
        for wrong, said in (
            ("loud", "'loud' is not a setting"),
            ("warn,once", "'once' is one too many (in 'warn,once')"),
            ("json,json", "'json' is one too many (in 'json,json')"),
            ("warn,,json", "'' is not a setting (in 'warn,,json')"),
        ):
            self.assert_refused(wrong, f"gilcheck: {said}: the settings are ")

    def test_of_children_check_programs_that_are_started(self):
        child = f"import sys; sys.path.insert(0, {MODULES!r}); import misuse_c; misuse_c.{{}}([])"
        code = (
            "import subprocess, sys\n"
            f"for each in {[child.format('released'), child.format('guarded')]!r}:\n"
            "    print(subprocess.run([sys.executable, '-c', each]).returncode, flush=True)"
        )
        command = (STOCK, "-m", "gilcheck", "--children", "--statistics", "its.json", "-c", code)
        outcome = self.run_command(*command, PYTHONPATH=PACKAGES)
        self.assertEqual((outcome.code, outcome.stdout), (0, "66\n0\n"), outcome)
        self.assertRegex(outcome.stderr, r"^gilcheck: PyList_Size\(\) was called without the GIL")
        command = (STOCK, "-m", "gilcheck", "--children", "--write-baseline", "b", "-c", "0")
        refused = self.run_command(*command, PYTHONPATH=PACKAGES)
        self.assertEqual(refused.code, 2, refused)

    def test_that_come_after_the_script_are_pointed_out(self):
        code = "import sys; print(sys.argv[1:])"
        command = (STOCK, "-m", "gilcheck", "-c", code, "--deadlocks", "--log", "x")
        outcome = self.run_command(*command, PYTHONPATH=PACKAGES)
        self.assertEqual((outcome.code, outcome.stdout), (0, "['--deadlocks', '--log', 'x']\n"))
        self.assertEqual(
            outcome.stderr,
            "gilcheck: note: the program gets --deadlocks, which comes after it; options of "
            "gilcheck come first\n",
        )

    def test_that_are_empty_are_refused(self):
        command = (STOCK, "-m", "gilcheck", "--settings", "", "-c", "print(1)")
        outcome = self.run_command(*command, PYTHONPATH=PACKAGES)
        self.assertEqual((outcome.code, outcome.stdout), (2, ""))
        self.assertEqual(
            outcome.stderr, 'gilcheck: the settings are empty: give "warn", or leave them out\n'
        )

    def test_that_contradict_each_other_are_refused(self):
        for wrong, said in (
            ("budget=5ms,budget=7ms", "'budget=7ms' is a second one: give one time"),
            ("log=a.json,statistics=a.json", "'a.json' is given for statistics= and for log=: "),
            ("statistics=a.json,write-baseline=a.json", "statistics= and for write-baseline=: "),
            ("log=a,write-baseline=a", "'a' is given for log= and for write-baseline=: give each "),
        ):
            self.assert_refused(wrong, said)

    def test_colours_are_for_a_terminal_that_shows_them(self):
        code = f"import sys; sys.path.insert(0, {MODULES!r}); import misuse_c as m; m.released([])"
        for variables, begins in (
            ({"NO_COLOR": None}, b"\x1b[1;31mgilcheck: "),
            ({"NO_COLOR": "1"}, b"gilcheck: "),
            ({"NO_COLOR": None, "TERM": "dumb"}, b"gilcheck: "),
            ({"NO_COLOR": None, "TERM": None}, b"gilcheck: "),
        ):
            with self.subTest(variables):
                ours, its = pty.openpty()
                try:
                    paths = environment(PYTHONPATH=PACKAGES, **variables)
                    finish(start(STOCK, "-m", "gilcheck", "-c", code, stderr=its, env=paths))
                    said = os.read(ours, 65536)
                finally:
                    os.close(ours)
                    os.close(its)
                self.assertEqual(said[: len(begins)], begins)


class Log(Checked):
    """Reports are appended to a file, and not written to stderr."""

    CODE = "import misuse_c; misuse_c.never_acquired([]); misuse_c.released([]); print('end')"

    def logged(self, code, settings="json"):
        """(the way, its outcome, the reports) of each, after a line that was there before."""
        log = self.folder / "log"
        log.write_text("before\n")
        for way, outcome in self.checked(code, f"{settings},log={log}"):
            first, *lines = log.read_text().splitlines()
            self.assertEqual(first, "before")
            self.assertEqual(outcome.stderr, "")
            log.write_text("before\n")
            yield way, outcome, lines

    def test_has_them_and_stderr_nothing(self):
        for way, outcome, lines in self.logged(self.CODE):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stdout), (66, "end\n"))
                reports = [json.loads(line) for line in lines]
                self.assertEqual(
                    [each["because"] for each in reports], ["never_acquired", "released"]
                )

    def test_has_them_in_words(self):
        for way, outcome, lines in self.logged(self.CODE, "once"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 66)
                self.assertRegex(lines[0], r"^gilcheck: PyList_Size\(\) was called without the GIL")
                self.assertRegex(lines[-1], r"^  do ")

    def test_has_those_of_forked_children_and_of_a_program_in_another_folder(self):
        code = (
            "import misuse_c, os\n"
            "os.chdir('/')\n"
            "if os.fork() == 0: misuse_c.released([])\n"
            "else: print(os.waitstatus_to_exitcode(os.wait()[1]))"
        )
        for way, outcome in self.checked(code, "json,log=log"):
            with self.subTest(way):
                self.assertEqual(outcome, Outcome(0, "66\n", ""))
                (line,) = (self.folder / "log").read_text().splitlines()
                self.assertEqual(json.loads(line)["because"], "released")
                (self.folder / "log").unlink()

    def test_leaves_the_programs_descriptors_alone(self):
        code = (
            "import misuse_c, os\n"
            "os.closerange(3, 256)\n"
            "file = open('mine', 'w+'); file.write('precious'); file.flush()\n"
            "misuse_c.never_acquired([])\n"
            "file.write(' things'); file.close()\n"
            "assert open('mine').read() == 'precious things'"
        )
        for way, outcome, lines in self.logged(code):
            with self.subTest(way):
                self.assertEqual((outcome.code, len(lines)), (66, 1), outcome)

    def test_that_is_gone_is_stderr_again(self):
        (self.folder / "gone").mkdir()
        code = "import misuse_c, shutil; shutil.rmtree('gone'); misuse_c.never_acquired([])"
        for way, outcome in self.checked(code, "json,log=gone/log"):
            with self.subTest(way):
                self.assertEqual(len(self.reports(outcome)), 1, outcome)
                (self.folder / "gone").mkdir()

    def test_that_cannot_be_is_told_at_the_start(self):
        for log, said in (
            ("none/log", "the log 'none/log' cannot be written: No such file or directory; name"),
            ("a,b", "a file's path may have no comma"),
            ("", "'log=' names no file"),
            ("x,log=y", "'log=y' is a second one"),
        ):
            for way, outcome in self.checked("print(1)", f"log={log}"):
                with self.subTest(way, log=log):
                    self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                    self.assertIn(said, outcome.stderr)

    def test_of_a_program_without_python_is_no_matter(self):
        variables = {"LD_PRELOAD": LIBRARY, "GILCHECK": "log=none/log"}
        self.assertEqual(self.run_command("/bin/true", **variables), Outcome(0, "", ""))


class LeftOut(Checked):
    """What a file of suppressions names, and what a baseline knows, is not reported."""

    CODE = "import misuse_c; misuse_c.never_acquired([]); misuse_c.released([]); print('end')"

    def assert_left(self, settings, because, code=CODE):
        """Of its two findings these are reported."""
        for way, outcome in self.checked(code, f"json,{settings}"):
            with self.subTest(way, settings=settings):
                found = [each["because"] for each in self.reports(outcome)]
                self.assertEqual(found, because)
                self.assertEqual((outcome.code, outcome.stdout), (66 if because else 0, "end\n"))

    def test_by_a_suppression(self):
        both = ["never_acquired", "released"]
        for rule, left in (
            ("function:never_acquired", ["released"]),
            ("function:never*(*)*$", ["released"]),
            ("function:^*::rel*sed(", ["never_acquired"]),
            ("function:^never_acquired", both),  # it is in a namespace
            ("function:never_acquired$", both),
            ("function:never*released", both),
            ("file:misuse_c.so", []),
            ("file:^misuse_c.so", both),  # it is in a folder
            ("lock:never_acquired", both),
        ):
            self.write("rules", f"# A line for each.\n\n{rule}  # not ours\n")
            self.assert_left("suppressions=rules", left)

    def test_is_no_report_that_once_or_abort_has_waited_for(self):
        self.write("rules", "function:never_acquired  # not ours\n")
        for way, outcome in self.checked(self.CODE, "once,json,suppressions=rules"):
            with self.subTest(way):
                self.assertEqual([each["because"] for each in self.reports(outcome)], ["released"])
        code = "import misuse_c; misuse_c.never_acquired([]); print('end')"
        for way, outcome in self.checked(code, "abort,suppressions=rules"):
            with self.subTest(way):
                self.assertEqual(outcome, Outcome(0, "end\n", ""))

    def test_by_a_baseline_that_was_written_before(self):
        new = f"{self.CODE}; misuse_c.after_the_guard([])"
        for way, outcome in self.checked(self.CODE, "write-baseline=known"):
            with self.subTest(way):
                self.assertEqual(outcome, Outcome(0, "end\n", ""))
        known = (self.folder / "known").read_text()
        self.assertNotRegex(known, r"0x|:\d")
        lines = [json.loads(line) for line in known.splitlines()]  # the same of all three ways
        for told, name in zip(lines, ("never_acquired", "released"), strict=True):
            self.assertEqual((told["finding"], told["called"]), ("call_without_gil", "PyList_Size"))
            (by,) = told["by"]
            self.assertEqual(by["module"], "misuse_c.so")
            self.assertRegex(by["functions"][0], rf"^\(anonymous namespace\)::{name}\(")
        self.assert_left("baseline=known", [])
        for way, outcome in self.checked(new, "json,baseline=known"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 66)
                self.assertIn("after_the_guard", json.dumps(self.reports(outcome)))
                self.assertEqual(len(self.reports(outcome)), 1)

    def test_by_the_options_of_the_command(self):
        """--write-baseline forgets what was known."""
        never, released = self.CODE.split("; ")[1:3]
        self.write("rules", "function:released  # not ours\n")
        for options, call, code in (
            (("--write-baseline", "known"), never, 0),
            (("--baseline", "known"), never, 0),
            (("--baseline", "known"), released, 66),
            (("--suppressions", "rules", "--baseline", "known"), released, 0),
            (("--write-baseline", "known"), released, 0),
            (("--baseline", "known"), never, 66),
            (("--log", "log"), never, 66),
        ):
            with self.subTest(options, call=call):
                outcome = self.run_command(
                    *(STOCK, "-m", "gilcheck", *options, "-c", f"import misuse_c; {call}"),
                    PYTHONPATH=f"{PACKAGES}:{MODULES}",
                )
                self.assertEqual(outcome.code, code, outcome)
                self.assertEqual(outcome.stderr != "", code == 66 and "--log" not in options)
        self.assertIn("PyList_Size()", (self.folder / "log").read_text())

    def test_is_refused_where_it_is_not_understood(self):
        for text, said in (
            ("\nfunction:f\n", "rules:2: 'function:f' has no reason: write it behind the pattern"),
            ("function:f  #\n", "rules:1: 'function:f' has no reason"),
            ("function:f#1\n", "rules:1: 'function:f#1' has no reason"),
            (
                "race:f  # r\n",
                "rules:1: 'race' is not a kind of suppression: write function, file or",
            ),
            ("f  # r\n", "rules:1: 'f' is not a kind of suppression"),
            ("function:  # r\n", "rules:1: 'function:' names nothing"),
        ):
            self.write("rules", text)
            for way, outcome in self.checked("print(1)", "suppressions=rules"):
                with self.subTest(way, text=text):
                    self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                    self.assertIn(f"gilcheck: {said}", outcome.stderr)
        self.write("known", "\n{}\n")
        for settings, said in (
            ("suppressions=none", "the suppressions 'none' cannot be read: No such file"),
            ("suppressions=.", "the suppressions '.' cannot be read: Is a directory"),
            ("baseline=none", "the baseline 'none' cannot be read: No such file"),
            ("baseline=known", "known:2: '{}' is not a finding of a baseline: write the file anew"),
            ("write-baseline=no/b", "the baseline 'no/b' cannot be written: No such file"),
            ("baseline=known,write-baseline=b", "give one of them, not 'write-baseline=b' as well"),
        ):
            for way, outcome in self.checked("print(1)", settings):
                with self.subTest(way, settings=settings):
                    self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                    self.assertIn(said, outcome.stderr)

    @unittest.skipIf(os.geteuid() == 0, "root may read every file")
    def test_that_may_not_be_read_are_refused(self):
        self.write("rules", "function:f  # r\n").chmod(0)
        for way, outcome in self.checked("print(1)", "suppressions=rules"):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                self.assertIn("Permission denied; name a file that may be read", outcome.stderr)


class Started(Checked):
    """By gilcheck.start(), perhaps where it checks already."""

    def test_by_threads_at_once_it_checks(self):
        code = (
            "import threading, gilcheck, sys\n"
            f"sys.path.insert(0, {MODULES!r})\n"
            "def go():\n"
            "    try: gilcheck.start('warn,json')\n"
            "    except RuntimeError as error: assert 'just now' in str(error), error\n"
            "threads = [threading.Thread(target=go) for _ in range(4)]\n"
            "for each in threads: each.start()\n"
            "for each in threads: each.join()\n"
            "import misuse_c; misuse_c.never_acquired([])\n"
        )
        for _ in range(5):
            outcome = self.run_command(STOCK, "-c", code, PYTHONPATH=PACKAGES)
            self.assertEqual(outcome.code, 66, outcome)
            self.assertEqual({each["thread"]["name"] for each in self.reports(outcome)}, {"never"})

    def test_again_it_has_other_settings_and_a_fork_does_not_wait(self):
        code = (
            "import gilcheck, misuse_c, os\n"
            "for _ in range(4): gilcheck.start('once,json')\n"
            "pid = os.fork()\n"
            "if pid == 0: os._exit(0)\n"
            "os.waitpid(pid, 0)\n"
            "misuse_c.never_acquired([]); print('end')"
        )
        self.goes_on(code)

    def test_with_what_is_no_str_it_says_so(self):
        outcome = self.run_command(
            STOCK, "-c", "import gilcheck; gilcheck.start(5)", PYTHONPATH=PACKAGES
        )
        self.assertIn("TypeError: gilcheck's settings are a str, not 5", outcome.stderr)

    def test_in_a_host_that_checks_already_it_changes_nothing(self):
        code = (
            "import ctypes, threading, gilcheck\n"
            "thread = threading.Thread(target=gilcheck.start, args=('warn',))\n"
            "thread.start(); thread.join()\n"
            "print(ctypes.pythonapi.PyLong_AsLong(ctypes.py_object(3)))\n"
        )
        outcome = self.run_command(HOST, "-X", "gilcheck=warn", "-c", code, PYTHONPATH=PACKAGES)
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "3\n", ""))


class BesideTheTimeline(Checked):
    def test_that_begins_later_it_reports_nothing_that_is_right(self):
        """In the host, the checker is a part of the interpreter's own file."""
        code = (
            "import ctypes, threading, giltrace\n"
            "with giltrace.record('beside.json', summary=False):\n"
            "    work = lambda: [ctypes.c_int(i) for i in range(100)]\n"
            "    threads = [threading.Thread(target=work) for _ in range(3)]\n"
            "    for each in threads: each.start()\n"
            "    for each in threads: each.join()\n"
        )
        for way, outcome in self.checked(code):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)


class Program(InFolder):
    """`python3 -m gilcheck` runs it as `python3` does; so does `python3 -m giltrace`."""

    def test_is_run_as_by_python_itself(self):
        self.write(
            "names.py",
            "import sys\n"
            "main = sys.modules['__main__'].__dict__\n"
            "print(main is globals(), __name__, __package__, sys.argv, sys.path[0])\n"
            "print(globals().get('__file__'), __spec__ and __spec__.name, __builtins__)\n",
        )
        self.write("fails.py", "def f():\n    return 1 / 0\nf()\n")
        self.write("half.py", "x = (\n")
        names = (self.folder / "names.py").read_text()
        self.write("folder/__main__.py", names)
        with zipfile.ZipFile(self.folder / "archive.pyz", "w") as archive:
            archive.writestr("__main__.py", names)
        hook = "import sys; sys.excepthook = lambda kind, *_: print(kind); 1 / 0"
        for program in (
            *(("names.py", "-x"), ("-m", "names", "-m"), ("-c", names, "-c", "2"), ("-", "3")),
            *(("folder",), ("archive.pyz", "4"), ("fails.py",), ("-m", "fails"), ("-c", "1 / 0")),
            *(("half.py",), ("-c", "("), ("none.py",), ("-m", "none"), ("-c", hook)),
            *(("-c", "raise KeyboardInterrupt"), ("-c", "raise SystemExit('bye')")),
        ):
            with self.subTest(program):
                plain = self.run_with(names, *program)
                self.assertEqual(self.run_with(names, "-m", "gilcheck", *program), plain)

    def run_with(self, stdin, *arguments):
        process = start(
            *(STOCK, *arguments),
            stdin=subprocess.PIPE,
            cwd=self.folder,
            env=environment(PYTHONPATH=PACKAGES),
        )
        return finish(process, stdin.encode(), aborts=True)

    def test_a_file_of_somebody_elses_is_left_as_it_is(self):
        for option, setting, name in (
            ("--write-baseline", "write-baseline", "notes.py"),
            ("--statistics", "statistics", "notes.txt"),
        ):
            self.write(name, "print('mine')\n")
            for arguments in (
                (option, name),
                ("--settings", f"warn,{setting}={name}"),
            ):
                with self.subTest(arguments):
                    outcome = self.run_with("", "-m", "gilcheck", *arguments, "-c", "pass")
                    self.assertEqual(outcome.code, 2, outcome)
                    self.assertRegex(
                        outcome.stderr,
                        rf"\Agilcheck: '.*{name}' is there, and is not a .* of gilcheck's: it is "
                        r"left as it is; name another file\n\Z",
                    )
                    self.assertEqual((self.folder / name).read_text(), "print('mine')\n")

    def test_its_own_files_are_written_again(self):
        for name in "figures.txt", "figures.json", "figures.prom":
            for _ in range(2):
                arguments = ("--statistics", name, "-c", "pass")
                outcome = self.run_with("", "-m", "gilcheck", *arguments)
                self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)

    def test_statistics_are_written_after_ctrl_c_too(self):
        arguments = ("--statistics", "figures.json", "-c", "raise KeyboardInterrupt")
        outcome = self.run_with("", "-m", "gilcheck", *arguments)
        self.assertEqual(outcome.code, -signal.SIGINT, outcome)
        self.assertIn('"takes": ', (self.folder / "figures.json").read_text())

    def test_that_is_none_is_refused(self):
        for arguments, said in (
            ((), "nothing to run"),
            (("-m",), "-m wants a module's name"),
            (("-c",), "-c wants code"),
            (("--nothing", "script.py"), "--nothing"),
            (("--includes", "script.py"), "--includes runs nothing: give it alone"),
            (("--includes", "--settings", "warn"), "--includes runs nothing: give it alone"),
            (("--within", "3", "script.py"), "--within goes with --pid"),
            (("--settings", "loud", "-c", "1"), "'loud' is not a setting: the settings are abort"),
            (("--settings", "warn,jsn", "-c", "1"), "'jsn' is not a setting (in 'warn,jsn'): the "),
            (("--settings", "warn,once", "-c", "1"), "'once' is one too many (in 'warn,once'): "),
            (("--budget", "5", "ms", "script.py"), "--budget is a time with its unit, "),
            (("--budget",), "--budget wants a value after it; "),
            (("--log", "a,b", "-c", "1"), "--log: 'a,b' has a comma"),
            (("--includes", "--log", "x"), "--includes runs nothing: give it alone"),
            (("--baseline", "a", "--write-baseline", "b", "-c", "1"), "either --baseline, "),
            (
                ("--write-baseline", "no/b", "-c", "1"),
                "no/b' cannot be written: No such file or directory; name a file in a folder that ",
            ),
            (("--python-locks", "-c", "1"), "--python-locks goes with --deadlocks: give both"),
            (("--no-calls", "-c", "1"), "--no-calls needs --deadlocks, --budget or --statistics"),
            (("--settings", "no-calls", "-c", "1"), "no-calls needs deadlocks, a budget or "),
            (("--settings", "temporary-log", "-c", "1"), "temporary-log goes with log=FILE"),
        ):
            with self.subTest(arguments):
                outcome = self.run_with("", "-m", "gilcheck", *arguments)
                self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                self.assertRegex(outcome.stderr, rf"\Agilcheck: .*{re.escape(said)}.*\n\Z")

    def test_the_help_lists_every_option_has_examples_and_fits_a_screen(self):
        process = start(
            *(STOCK, "-m", "gilcheck", "--help"),
            env=environment(PYTHONPATH=PACKAGES, COLUMNS="80"),
        )
        told = finish(process).stdout.replace("PYTHON", "python3")
        lines = told.splitlines()
        self.assertLess(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)
        usage, _, described = told.partition("\n\n")
        for shown in ("SCRIPT", "-m MODULE", "-c CODE", "--pid PID", "[OPTION ...]"):
            self.assertIn(shown, usage)
        for option in (*OPTIONS, "--version, -h, --help"):
            self.assertRegex(described, rf"(?m)^  {option}[ ,\n]")
        self.assertEqual(len(re.findall(r"(?m)^  \S+ -m gilcheck ", described)), 3)


class LooksLegal(Checked):
    """Named as those that need no GIL are, but it reads the interpreter, or makes an object."""

    def test_is_reported(self):
        of_every_version = (
            *("Py_GetRecursionLimit", "Py_SetRecursionLimit", "PyThread_GetInfo"),
            *("PyThread_get_stacksize", "Py_EncodeLocale"),
        )
        since = {"PyConfig_Get": (3, 14), "PyInterpreterView_FromCurrent": (3, 15)}
        later = (name for name, version in since.items() if sys.version_info >= version)
        for name in (*of_every_version, *later):
            for way, outcome in self.checked(f"import legal_calls; legal_calls.call({name!r})"):
                with self.subTest(name, way=way):
                    self.assertEqual(self.the_report(outcome)["function"], name)


class NoReport(Checked):
    def assert_silent(self, code, stdout=""):
        for way, outcome in self.checked(code):
            with self.subTest(way):
                self.assertEqual(outcome, Outcome(0, stdout, ""))

    def test_of_a_guarded_thread(self):
        self.assert_silent("import misuse_c; print(misuse_c.guarded([1]))", "1\n")

    def test_of_a_thread_with_our_guard(self):
        self.assert_silent("import misuse_c; print(misuse_c.acquired([1]))", "1\n")

    def test_of_boost_pythons_own_static_objects(self):
        """The first ArgumentError makes one, which dies after Python."""
        code = "from Foo import Foo\ntry: Foo(*range(9))\nexcept TypeError: print('refused')"
        self.assert_silent(code, "refused\n")

    def test_of_calls_that_need_no_gil(self):
        for begin in "", "import tracemalloc; tracemalloc.start(); ":
            self.assert_silent(f"{begin}import legal_calls; legal_calls.call_all()")

    def test_of_foo(self):
        """It is the host's own, and the package's under another Python."""
        code = (
            "import Foo, sys, threading; heard = threading.Event()\n"
            "foo = Foo.Foo(0.01, lambda _: heard.set()); foo.start()\n"
            "assert heard.wait(60); foo.stop()"
        )
        self.assert_silent(f"import sys; sys.path.append({PACKAGES!r})\n{code}")

    def test_of_threads_and_what_the_standard_library_calls_back(self):
        self.assert_silent("""
import asyncio, concurrent.futures, ctypes, os, sqlite3, threading, warnings, zlib
warnings.simplefilter("ignore", DeprecationWarning)  # fork() beside threads, from Python 3.12 on
def work(n):
    zlib.compress(b"x" * 100000)
    database = sqlite3.connect(":memory:")
    database.create_function("twice", 1, lambda n: 2 * n)
    return database.execute("select twice(?)", (n,)).fetchone()[0]
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(work, range(50))) == [2 * n for n in range(50)]
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
numbers = (ctypes.c_int * 5)(5, 1, 4, 2, 3)
ctypes.CDLL(None).qsort(numbers, 5, 4, compare(lambda a, b: a[0] - b[0]))
assert list(numbers) == [1, 2, 3, 4, 5]
async def main():
    await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(10)))
asyncio.run(main())
child = os.fork()
if child == 0:
    thread = threading.Thread(target=work, args=(1,))
    thread.start()
    thread.join()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""")

    def test_of_real_programs(self):
        """`make falsealarms` has more of them."""
        for name in ("asyncio_loop", "ctypes_callbacks", "fork", "prompt", "subinterpreters"):
            code = (WORKLOADS / f"{name}.py").read_text()
            plain = self.run_command(STOCK, "-c", code)
            self.assertEqual((plain.code, plain.stderr), (0, ""))
            with self.subTest(name):
                self.assert_silent(code, plain.stdout)

    def test_of_inlined_counting_elsewhere(self):
        """It is a fault, and out of reach: docs/gilcheck.md says so."""
        self.assert_silent("import misuse_inline as m; m.count([])")

    def test_of_a_program_that_is_no_python(self):
        outcome = self.run_command("/bin/echo", "hello", LD_PRELOAD=LIBRARY)
        self.assertEqual(outcome, Outcome(0, "hello\n", ""))


if __name__ == "__main__":
    unittest.main()
