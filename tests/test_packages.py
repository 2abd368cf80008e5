"""What is installed, as a user has it: by pip into an empty virtual environment, and by CMake."""

import json
import os
import subprocess
import unittest
from pathlib import Path

from host import STOCK, InFolder, environment, finish, start

PROJECT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ["BUILD_FOLDER"])
CMAKE = os.environ["CMAKE"]
GENERATOR = os.environ["GENERATOR"]
TOOLS = os.environ["TOOLS_PYTHON"]
MODULES = os.environ["MODULES_FOLDER"]

PATIENCE = 270  # seconds: pip compiles everything the first time

# The question's session, to its end.
SESSION = """
import Foo, time
f = Foo.Foo()
f.start()
time.sleep(1.5)
f.stop()
"""
FAULT = f"import sys; sys.path.insert(0, {MODULES!r}); import misuse_c; misuse_c.never_acquired([])"


def backend():
    """The folder of the tools' own packages, if the build backend is among them."""
    code = "import scikit_build_core as it; print(it.__path__[0])"
    if not Path(TOOLS).exists():
        return None
    found = subprocess.run([TOOLS, "-c", code], capture_output=True, text=True)
    return Path(found.stdout.strip()).parent if found.returncode == 0 else None


class Packages(InFolder):
    def succeed(self, *command, **variables):
        outcome = subprocess.run(
            command,
            cwd=self.folder,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        return outcome

    def install(self):
        prefix = self.folder / "prefix"
        self.succeed(CMAKE, "--install", BUILD, "--prefix", prefix)
        return prefix

    def check_tools(self, python, **variables):
        """Foo, the checker and the timeline, imported by this Python."""
        session = self.succeed(python, "-c", SESSION, **variables)
        self.assertEqual(session.stdout, "0\n1\n")

        command = (python, "-m", "gilcheck", "--settings", "warn,json", "-c", FAULT)
        checked = finish(start(*command, cwd=self.folder, env=environment(**variables)))
        self.assertEqual(checked.code, 66, checked)
        report = json.loads(checked.stderr.splitlines()[0])
        self.assertEqual(report["function"], "PyList_Size")

        recorded = self.succeed(
            python, "-m", "giltrace", "-o", "x.json", "-c", SESSION, **variables
        )
        self.assertIn("'MainThread'", recorded.stderr)
        self.assertTrue(json.loads((self.folder / "x.json").read_text())["traceEvents"])


class Pip(Packages):
    @unittest.skipIf(backend() is None, "there is no scikit-build-core; `make` installs it")
    def test_installs_into_an_empty_virtual_environment(self):
        python = self.folder / "venv/bin/python"
        self.succeed(STOCK, "-m", "venv", "venv")
        # Without a network, and without building again what has not changed.
        offline = ("--no-build-isolation", "--no-deps", "--no-index")
        built = ("--config-settings", f"build-dir={BUILD / 'wheel'}")
        self.succeed(
            *(python, "-m", "pip", "install", *offline, *built, PROJECT),
            PYTHONPATH=str(backend()),
            PATH=f"{Path(CMAKE).parent}:{Path(TOOLS).parent}:{os.environ['PATH']}",
        )
        self.check_tools(python)


class CMakeInstall(Packages):
    def test_of_the_python_packages(self):
        prefix = self.install()
        (package,) = prefix.glob("lib*/python3*/*-packages/gilcheck")
        self.check_tools(STOCK, PYTHONPATH=str(package.parent))

        built_in = self.succeed(
            *(prefix / "bin/handoff", "-c", "import Foo; print(Foo)"),
            PYTHONPATH=str(package.parent),
        )
        self.assertEqual(built_in.stdout, "<module 'Foo' (built-in)>\n")

    def test_of_the_library_to_preload(self):
        found = self.install().rglob("libgilcheck.so")
        (library,) = (path for path in found if path.is_symlink())
        variables = {"LD_PRELOAD": str(library), "GILCHECK": "warn,json"}
        checked = finish(start(STOCK, "-c", FAULT, cwd=self.folder, env=environment(**variables)))
        self.assertEqual(checked.code, 66, checked)

    def test_of_the_cmake_package(self):
        prefix = self.install()
        self.write(
            "CMakeLists.txt",
            """
            cmake_minimum_required(VERSION 3.22)
            project(robot CXX)
            find_package(handoff REQUIRED)
            add_executable(robot main.cpp)
            target_link_libraries(robot PRIVATE handoff::host handoff::giltrace)
            add_library(careless MODULE careless.cpp)
            target_link_libraries(careless PRIVATE handoff::gilcheck_inline)
            """,
        )
        self.write(
            "main.cpp",
            """
            #include <handoff/giltrace.hpp>
            #include <handoff/host.hpp>

            int main(int argc, char* argv[]) {
                handoff::giltrace::finish();  // there is no recording
                return handoff::host().run(argc, argv);
            }
            """,
        )
        self.write(
            "careless.cpp",
            """
            #ifndef HANDOFF_GILCHECK_INLINE_H
            #error "the header is not forced"
            #endif
            """,
        )
        path = f"{Path(CMAKE).parent}:{os.environ['PATH']}"
        self.succeed(
            *(CMAKE, "-S", ".", "-B", "b", "-G", GENERATOR, f"-DCMAKE_PREFIX_PATH={prefix}"),
            PATH=path,
        )
        self.succeed(CMAKE, "--build", "b", PATH=path)
        outcome = self.succeed(self.folder / "b/robot", "-c", "print(1 + 1)")
        self.assertEqual(outcome.stdout, "2\n")


if __name__ == "__main__":
    unittest.main()
