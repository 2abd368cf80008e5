"""PREFIX/bin/handoff finds the packages installed beside it, and all else as ever."""

import os
import shutil
import unittest
from pathlib import Path

from host import HOST, STOCK, InFolder, environment, run

PACKAGES = Path(os.environ["PYTHON_PACKAGES"])
BELOW_PREFIX = os.environ["INSTALL_PYTHONDIR"]
SHOW = """
    import gilcheck, giltrace
    print(gilcheck.__file__, giltrace.__path__, sep="\\n")
"""
SHOW_ALL = "import sys; print(sys.path, sys.prefix, sys.base_prefix, sys.flags)"


class InstalledHost(InFolder):
    def setUp(self):
        super().setUp()
        self.prefix = self.folder / "prefix"
        self.python = self.prefix / "bin/handoff"
        self.packages = self.prefix / BELOW_PREFIX
        self.python.parent.mkdir(parents=True)
        shutil.copy(HOST, self.python)
        for name in ("gilcheck", "giltrace", "handoff_attach"):  # the tools import the last
            shutil.copytree(PACKAGES / name, self.packages / name)
        (self.packages / "somebody_elses.py").write_text("")

    def assert_found(self, *command, **options):
        outcome = run(*command, cwd=self.folder, **options)
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        self.assertEqual(
            outcome.stdout,
            f"{self.packages}/gilcheck/__init__.py\n['{self.packages}/giltrace']\n",
        )

    def test_finds_its_packages(self):
        script = self.write("script.py", SHOW)
        for options in ((), ("-I",), ("-E",), ("-s",), ("-P",), ("-O",)):
            with self.subTest(options):
                self.assert_found(self.python, *options, script)

    def test_runs_its_packages(self):
        script = self.write("script.py", "print('ran')")
        outcome = run(self.python, "-m", "gilcheck", script, cwd=self.folder)
        self.assertEqual((outcome.code, outcome.stdout), (0, "ran\n"))
        outcome = run(self.python, "-m", "giltrace", "-o", "trace.json", script, cwd=self.folder)
        self.assertEqual((outcome.code, outcome.stdout), (0, "ran\n"), outcome)
        self.assertTrue((self.folder / "trace.json").exists())

    def test_finds_nothing_else_there(self):
        for program in (self.python, STOCK):
            outcome = run(program, "-c", "import somebody_elses", cwd=self.folder)
            self.assertIn("No module named 'somebody_elses'", outcome.stderr)
        self.assertEqual(run(self.python, "-c", SHOW_ALL).stdout, run(STOCK, "-c", SHOW_ALL).stdout)

    def test_finds_those_of_the_user_first(self):
        mine = self.write("mine/giltrace.py", "")
        outcome = run(
            self.python,
            "-c",
            "import giltrace; print(giltrace.__file__)",
            env=environment(PYTHONPATH=str(mine.parent)),
        )
        self.assertEqual(outcome.stdout, f"{mine}\n")

    def test_finds_none_without_site(self):
        outcome = run(self.python, "-S", "-c", "import giltrace", cwd=self.folder)
        self.assertIn("No module named 'giltrace'", outcome.stderr)

    def test_is_found_by_children(self):
        script = self.write(
            "script.py",
            """
            import multiprocessing
            def where(name): return __import__(name).__file__
            if __name__ == "__main__":
                for method in "spawn", "forkserver", "fork":
                    with multiprocessing.get_context(method).Pool(1) as pool:
                        print(pool.map(where, ["gilcheck", "giltrace"]))
            """,
        )
        outcome = run(self.python, script, cwd=self.folder)
        expected = [f"{self.packages}/{name}/__init__.py" for name in ("gilcheck", "giltrace")]
        self.assertEqual(outcome, (0, f"{expected}\n" * 3, ""))

    def test_is_found_in_a_virtual_environment(self):
        script = self.write("script.py", SHOW)
        self.succeed(self.python, "-m", "venv", "--without-pip", "env")
        self.assert_found(self.folder / "env/bin/python", script)
        self.assert_found(self.folder / "env/bin/python", "-I", script)

    def test_finders_of_others_do_not_mind_it(self):
        program = (
            "import importlib, importlib.metadata, importlib.util, pkgutil, sys\n"
            "importlib.invalidate_caches(); list(importlib.metadata.distributions())\n"
            "assert importlib.util.find_spec('no_such_module') is None\n"
            "assert importlib.util.find_spec('json.giltrace') is None\n"
            "assert sys.meta_path[-1].find_spec(fullname='giltrace', path=None) is not None\n"
            "try: sys.meta_path[-1].find_spec(3)\n"
            "except TypeError: print('ok')\n"
        )
        outcome = run(self.python, "-c", program, cwd=self.folder)
        self.assertEqual(outcome, (0, "ok\n", ""))

    def test_the_host_of_a_build_finds_those_of_the_build(self):
        show = "import gilwatch as a, handoff_ticker as b; print(a.__file__, b.__file__, sep='\\n')"
        outcome = run(HOST, "-c", show, cwd=self.folder)
        found = [Path(line).resolve() for line in outcome.stdout.splitlines()]
        expected = [PACKAGES / name / "__init__.py" for name in ("gilwatch", "handoff_ticker")]
        self.assertEqual((found, outcome.stderr), (expected, ""))

    def test_a_host_that_has_no_packages_has_no_finder_more(self):
        show = "import sys; print(len(sys.meta_path))"
        alone = self.folder / "alone/bin/handoff"
        alone.parent.mkdir(parents=True)
        shutil.copy(HOST, alone)
        self.assertEqual(run(alone, "-c", show).stdout, run(STOCK, "-c", show).stdout)


if __name__ == "__main__":
    unittest.main()
