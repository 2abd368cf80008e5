"""A wheel of modules that await, log and run Asio: their tests, in stock Python and the host."""

import shutil
import unittest
import zipfile

from host import HOST, STOCK
from test_packages import BUILD, CMAKE, PROJECT, WITH_TOOLS, Packages, backend

TESTS = PROJECT / "tests"
AUDITWHEEL = shutil.which("auditwheel", path=WITH_TOOLS)


@unittest.skipIf(backend() is None, "there is no scikit-build-core; `make` installs it")
class ModuleWheel(Packages):
    patience = 900  # seconds: four modules are compiled the first time

    def setUp(self):
        super().setUp()
        self.python = self.folder / "venv/bin/python"
        self.succeed(STOCK, "-m", "venv", "venv")
        self.tools = {"PYTHONPATH": str(backend()), "PATH": WITH_TOOLS}

    def pip(self, *arguments):
        self.succeed(self.python, "-m", "pip", *arguments, **self.tools)

    def make_wheel(self):
        """With Boost.Python in it, where there is auditwheel."""
        prefix = BUILD / "module_wheel/prefix"  # always the same: what is unchanged is kept
        self.succeed(CMAKE, "--install", BUILD, "--prefix", prefix)
        settings = {
            "build-dir": BUILD / "module_wheel/build",
            "cmake.define.CMAKE_PREFIX_PATH": prefix,
        }
        chosen = [f"--config-settings={name}={value}" for name, value in settings.items()]
        offline = ("--no-deps", "--no-index", "--no-build-isolation")
        self.pip("wheel", TESTS / "module_wheel", *offline, *chosen, "--wheel-dir", "made")
        (wheel,) = (self.folder / "made").glob("*.whl")
        if AUDITWHEEL:
            self.succeed(AUDITWHEEL, "repair", "--wheel-dir", "repaired", wheel, **self.tools)
            (wheel,) = (self.folder / "repaired").glob("*.whl")
            carried = [name for name in zipfile.ZipFile(wheel).namelist() if ".libs/" in name]
            self.assertEqual(len(carried), 1)
            self.assertIn("libboost_python", carried[0])
        return wheel

    def test_passes_the_tests_of_its_modules(self):
        self.pip("install", "--no-index", self.make_wheel())
        (packages,) = (self.folder / "venv/lib").glob("python3*/site-packages")
        variables = {
            "PYTHONPATH": f"{packages}:{TESTS}",
            "LOGS_FOLDER": str(packages),
            "LOGS_PYTHON": str(self.python),
            "LOGGING_PAGE_FOLDER": str(BUILD / "tests/logging_page"),
        }
        of_modules = ("test_await", "test_asio", "test_channel_async")
        for interpreter, command, tests in (
            ("stock", self.python, of_modules),
            ("host", HOST, of_modules),
            ("both", STOCK, ("test_logging",)),
        ):
            for each in tests:
                with self.subTest(each, interpreter=interpreter):
                    self.succeed(command, "-m", "unittest", each, **variables)


if __name__ == "__main__":
    unittest.main()
