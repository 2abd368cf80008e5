"""The tools in a process that unloads what they have seen: a plugin, and Python with one."""

import os
import unittest
from pathlib import Path

from host import HOST, STOCK, InFolder, Outcome, environment, finish, start

MODULES = Path(os.environ["MODULES_FOLDER"])
PACKAGES = os.environ["PYTHON_PACKAGES"]
TOOLS = ("gilcheck", "giltrace", "gilwatch")
LIBRARIES = {tool: str(Path(PACKAGES, tool, f"lib{tool}.so")) for tool in TOOLS}
CHECKED = {"GILCHECK": "abort"}


class Unloaded(InFolder):
    def run_command(self, *command, **variables):
        return finish(start(*command, cwd=self.folder, env=environment(**variables)))

    def ways(self, *arguments):
        """(the way, its outcome) of each in which a program of Python's is run."""
        paths = {"PYTHONPATH": PACKAGES}
        yield "alone", self.run_command(STOCK, *arguments, **paths)
        yield "host", self.run_command(HOST, *arguments, **paths)
        for tool, setting in ("gilcheck", ("--settings", "abort")), ("giltrace", ("-o", "t.html")):
            yield tool, self.run_command(STOCK, "-m", tool, *setting, *arguments, **paths)
        both = ("-X", "gilcheck=abort", "-X", "giltrace=t2.html")
        yield "both", self.run_command(HOST, *both, *arguments, **paths)
        for tool, settings in self.preloaded():
            yield f"{tool} preloaded", self.run_command(STOCK, *arguments, **settings, **paths)

    def preloaded(self):
        checked = {"LD_PRELOAD": LIBRARIES["gilcheck"], **CHECKED}
        yield "gilcheck", checked
        # Which does nothing until it is asked to.
        yield "giltrace", {"LD_PRELOAD": LIBRARIES["giltrace"]}
        yield "gilwatch", {"LD_PRELOAD": LIBRARIES["gilwatch"]}
        yield "all", {**checked, "LD_PRELOAD": " ".join(LIBRARIES.values())}

    def test_library_that_was_first_to_call_a_function(self):
        code = f"""
import ctypes, _ctypes
def use(name):
    path = {str(MODULES)!r} + "/" + name + ".so"
    plugin = ctypes.PyDLL(path)
    plugin.twice.argtypes, plugin.twice.restype = [ctypes.py_object], ctypes.c_ssize_t
    assert plugin.twice([1]) == 2
    _ctypes.dlclose(plugin._handle)
    assert path not in open("/proc/self/maps").read()
for _ in range(20):
    use("plugin")
    use("plugin_elsewhere")
print("end")
"""
        for way, outcome in self.ways("-c", code):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stdout), (0, "end\n"), outcome)

    def test_python_with_a_plugin_that_brought_it(self):
        host = MODULES / "plugin_host"
        if not host.exists():
            self.skipTest("this Python has no shared libpython")
        plugin = str(MODULES / "plugin_with_python.so")
        # Without threads: one may still return from a function of Python's when that is unloaded.
        code = "print('end', flush=True)"
        self.assertEqual(
            self.run_command(str(host), "3", plugin, code), Outcome(0, "end\n" * 3, "")
        )
        for way, settings in self.preloaded():
            with self.subTest(way):
                outcome = self.run_command(str(host), "3", plugin, code, **settings)
                self.assertEqual((outcome.code, outcome.stdout), (0, "end\n" * 3), outcome)

    def test_python_that_checked_and_recorded_itself(self):
        host = MODULES / "plugin_host"
        if not host.exists():
            self.skipTest("this Python has no shared libpython")
        code = """
import os, gilcheck, giltrace
gilcheck.start("abort")
if not os.path.exists("begun"):
    open("begun", "x").close()
    giltrace.start("trace.html")  # of all the process, this Python and those that follow
print("end", flush=True)
"""
        plugin = str(MODULES / "plugin_with_python.so")
        by_itself = start(str(host), "3", plugin, "import ctypes", cwd=self.folder)
        if finish(by_itself, aborts=True).code != 0:
            self.skipTest("this Python crashes if it is begun again and imports ctypes again")
        outcome = self.run_command(str(host), "3", plugin, code, PYTHONPATH=PACKAGES)
        self.assertEqual((outcome.code, outcome.stdout), (0, "end\n" * 3), outcome)
        self.assertNotIn("contradicts", outcome.stderr)
        self.assertTrue(Path(self.folder, "trace.html").exists(), outcome)

    def test_program_without_python(self):
        for way, settings in self.preloaded():
            with self.subTest(way):
                outcome = self.run_command("/bin/echo", "hello", **settings)
                self.assertEqual(outcome, Outcome(0, "hello\n", ""))


if __name__ == "__main__":
    unittest.main()
