"""The distribution giltools: its wheel, and its three commands, as pip installs them."""

import configparser
import json
import os
import platform
import re
import shutil
import sysconfig
import unittest
import zipfile
from pathlib import Path

from host import STOCK, environment, run
from test_gilcheck_pytest import PYTEST
from test_gilwatch import PACKAGES, Watched

MODULES = Path(os.environ["MODULES_FOLDER"])
WHEELS = Path(os.environ["WHEELS_FOLDER"])
WHEEL = next(iter(WHEELS.glob(f"giltools-*_{platform.machine()}.whl")), None)
PYTHONS = [f"python3.{minor}" for minor in range(11, 16)]  # those of README's badge

COMMANDS = ("gilcheck", "giltrace", "gilwatch")
FAULTS = MODULES / "any_python.so"  # for any Python, hence by ctypes
CRASH = f"import ctypes; ctypes.CDLL({str(FAULTS)!r}).use_without_gil(ctypes.py_object([]))"
HANG = f"import ctypes; ctypes.PyDLL({str(FAULTS)!r}).join_with_gil()"
# Two threads, each of which lets go of the GIL in look().
LOOK = """
import os, threading

def look():
    os.stat(".")

other = threading.Thread(target=look, name="other")
other.start()
look()
other.join()
"""


def makes_environments(python):
    """Whether it is more than a name, as a version manager may have it."""
    return shutil.which(python) and run(python, "-c", "import venv, ensurepip").code == 0


class Commands(Watched):
    def assert_work(self, folder):
        """Each command in this folder finds what it is for, under the Python beside it."""
        where = " at any_python.cpp:" if shutil.which("addr2line") else r" in \S*any_python\.so"
        checked = run(folder / "gilcheck", "-c", CRASH, cwd=self.folder)
        self.assertEqual(checked.code, 66, checked)
        found = rf"^gilcheck: PyList_Size\(\) was called without the GIL, by measure.*{where}"
        self.assertRegex(checked.stderr, found)

        self.write("script.py", LOOK)
        self.succeed(folder / "giltrace", "-o", "x.json", "script.py")
        events = json.loads((self.folder / "x.json").read_text())["traceEvents"]
        holds = {event["name"] for event in events if event.get("cat") == "hold"}
        self.assertIn("look (script.py:4)", holds)  # so it knows this Python's layout
        threads = " ".join(
            event["args"]["name"] for event in events if event["name"] == "thread_name"
        )
        self.assertIn("'MainThread'", threads)
        self.assertIn("'other'", threads)

        report = self.first_report(
            *(folder / "gilwatch", "--after", "0.3", "-c", HANG), PYTHONPATH=None
        )
        self.assertRegex(
            report[0],
            r"^gilwatch: the main thread holds the GIL and waits for the end of a thread in "
            rf"std::thread::join\(\), called by join_with_gil.*{where}.*; 1 thread waits for it, "
            rf".* in .*PyGILState_Ensure\w*, called by append_to_log.*{where}",
        )


class CommandLine(Commands):
    def test_of_a_program_that_is_no_script_says_how_it_is_run(self):
        for command in COMMANDS:
            settings = ("-o", "x.json") if command == "giltrace" else ()
            with self.subTest(command):
                variables = environment(PYTHONPATH=PACKAGES)
                ended = run(STOCK, "-m", command, *settings, "/bin/true", env=variables)
                self.assertEqual((ended.code, ended.stdout), (2, ""), ended)
                said = (
                    rf"^{command}: '/bin/true' is machine code, .*LD_PRELOAD=lib{command}\.so.*\n$"
                )
                self.assertRegex(ended.stderr, said)


@unittest.skipIf(WHEEL is None, "there is no wheel; `make wheel` or `make test-all` builds it")
class Wheel(Commands):
    patience = 270  # seconds: a virtual environment with pip, on a busy machine

    def install(self, python):
        self.succeed(python, "-m", "venv", "--clear", "venv")
        bin_folder = self.folder / "venv/bin"
        self.succeed(bin_folder / "python", "-m", "pip", "install", "--no-index", WHEEL)
        return bin_folder

    def test_is_one_for_every_python_and_small(self):
        self.assertRegex(WHEEL.name, r"^giltools-[\d.]+-py3-none-manylinux_\d+_\d+_\w+\.whl$")
        self.assertLess(WHEEL.stat().st_size, 3_000_000)
        with zipfile.ZipFile(WHEEL) as wheel:
            names = wheel.namelist()
            (entry_points,) = (name for name in names if name.endswith("/entry_points.txt"))
            entries = configparser.ConfigParser()
            entries.read_string(wheel.read(entry_points).decode())
            (metadata,) = (name for name in names if name.endswith("/METADATA"))
            described = wheel.read(metadata).decode()
        self.assertEqual(sorted(entries["console_scripts"]), sorted(COMMANDS))
        self.assertEqual(dict(entries["pytest11"]), {"gilcheck": "gilcheck.pytest_plugin"})
        self.assertIn("gilcheck/include/handoff/gilcheck_inline.h", names)
        # Nothing that a system may lack is carried, so nothing has to be.
        libraries = {f"{name}/lib{name}.so" for name in COMMANDS}
        self.assertEqual({name for name in names if ".so" in name}, libraries)
        self.assertNotIn("Requires-Dist", described)
        self.assertIn("License-Expression: BSL-1.0\n", described)

    def test_works_in_an_empty_environment_of_every_python_that_is_here(self):
        for python in (STOCK, *filter(makes_environments, PYTHONS)):
            with self.subTest(python):
                self.assert_work(self.install(python))

    @unittest.skipIf(PYTEST is None, "there is no pytest in .venv; `make test-all` installs it")
    def test_is_a_plugin_of_pytest(self):
        """Which knows it without being told, and fails a test by it."""
        python = self.install(STOCK) / "python"
        self.write("test_it.py", f"def test_crash():\n    {CRASH}\n")
        command = (python, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py")
        for options, code in (((), 0), (("--gilcheck",), 1)):
            with self.subTest(options):
                variables = environment(PYTHONPATH=PYTEST)
                ended = run(*command, *options, cwd=self.folder, env=variables)
                self.assertEqual(ended.code, code, ended)
                self.assertEqual("PyList_Size() was called" in ended.stdout, code == 1)

    def test_runs_programs_as_python3_itself_does(self):
        """-m looks in the current folder, and not where the command is; so do -c and scripts."""
        bin_folder = self.install(STOCK)
        show = "import sys; print(sys.argv, sys.path, sys.executable, __spec__ and __spec__.name)\n"
        self.write("shown.py", show)
        for command in COMMANDS:
            settings = ("-o", "x.json") if command == "giltrace" else ()
            for program in (("-m", "shown", "1"), ("-c", show, "1"), ("./shown.py", "1")):
                with self.subTest(f"{command} {program[0]}"):
                    plain = self.succeed(bin_folder / "python", *program).stdout
                    ran = self.succeed(bin_folder / command, *settings, *program).stdout
                    self.assertEqual(ran, plain)

    def test_says_in_its_messages_what_it_was_called(self):
        bin_folder = self.install(STOCK)
        version = re.search(r"^giltools-([\d.]+)-", WHEEL.name)[1]
        for command in COMMANDS:
            for way, called in (
                ((bin_folder / command,), command),
                ((bin_folder / "python", "-m", command), f"python3 -m {command}"),
            ):
                with self.subTest(called):
                    refused = run(*way, "--nonesuch")
                    self.assertEqual(refused.code, 2, refused)
                    said = rf"(^|\n|`){re.escape(called)}(: error: | --help`)"
                    self.assertRegex(refused.stderr, said)
                    told = self.succeed(*way, "--version").stdout
                    self.assertEqual(told, f"{command} {version}\n")

    def test_says_where_the_header_is_for_what_a_compiler_inlines(self):
        bin_folder = self.install(STOCK)
        flags = self.succeed(bin_folder / "gilcheck", "--includes").stdout
        module = self.succeed(bin_folder / "python", "-m", "gilcheck", "--includes")
        self.assertEqual(flags, module.stdout)
        source = self.write(
            "inlined.c",
            """
            #include <Python.h>

            void count(PyObject* object) { Py_INCREF(object); }
            """,
        )
        python_h = sysconfig.get_path("include")
        compiler = os.environ.get("COMPILER")
        if not compiler or not Path(python_h, "Python.h").exists():
            self.skipTest("there is no compiler, or no Python.h")
        build = (compiler, "-x", "c", "-shared", "-fPIC", f"-I{python_h}", source)
        build += ("-o", "inlined.so")
        code = "import ctypes; ctypes.CDLL('./inlined.so').count(ctypes.py_object([]))"
        forced = (flags.strip(), "-include", "handoff/gilcheck_inline.h")
        for options, ends in (((), 0), (forced, 66)):
            with self.subTest(options):
                self.succeed(*build, *options)
                checked = run(bin_folder / "gilcheck", "-c", code, cwd=self.folder)
                self.assertEqual(checked.code, ends, checked)
                self.assertEqual("Py_IncRef() was called" in checked.stderr, ends == 66)

        # As CMake tests a compiler, with the flags alone.
        plain = self.write("plain.c", "int plain(void) { return 0; }")
        self.succeed(compiler, *forced, "-c", plain, "-o", "plain.o")


if __name__ == "__main__":
    unittest.main()
