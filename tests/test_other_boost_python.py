"""A module with a Boost.Python of its own beside a program that is linked with another one.

Which of the two the module calls is what decides: with another version's functions it crashes, or
not, as the versions will have it.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

MODULES = Path(os.environ["MODULES_FOLDER"])
PATH = os.pathsep.join(map(str, (MODULES / "linked", MODULES / "other")))
HOSTS = {name: os.environ[name] for name in ("HANDOFF_HOST", "LINKED_HOST", "APPLICATION")}
STOCK = os.environ["HANDOFF_PYTHON"]
BEGINNING = """
import os
def check(module, file):
    assert os.path.samefile(module.boost_python_in_use(), file), module.boost_python_in_use()
    assert module.Thing().rename("another") == "another"
    try:
        module.Thing().rename(3)
    except TypeError as error:
        assert type(error).__name__ == "ArgumentError", error
    else:
        raise AssertionError("a number was taken for a str")
"""


class OtherBoostPython(unittest.TestCase):
    def check(self, *statements, programs=(*HOSTS, "HANDOFF_PYTHON"), **environment):
        for name in programs:
            program = os.environ[name]
            with self.subTest(program=program):
                ended = subprocess.run(
                    [program, "-c", "\n".join((BEGINNING, *statements, "print('done')"))],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    env={**os.environ, "PYTHONPATH": PATH, **environment},
                    check=False,
                )
                self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "done\n", ""))

    def test_is_used_by_the_module_that_needs_it(self):
        other = MODULES / "other" / "libboost_python_other.so"
        self.check("import needs_other", f"check(needs_other, {str(other)!r})")

    def test_is_used_by_the_module_that_contains_it(self):
        self.check("import contains_other", "check(contains_other, contains_other.__file__)")

    def test_leaves_those_alone_that_use_the_programs(self):
        # Foo's library has its Boost.Python from the system: a Foo that another module has made is
        # a Foo.
        self.check(
            "import needs_other, Foo, foo_user",
            "foo = foo_user.hourly()",
            "assert type(foo) is Foo.Foo and foo_user.interval_of(Foo.Foo(2.5)) == 2.5",
            "foo.start(); foo.wait(1, 20); foo.stop()",
            "assert foo.messages == [0]",
            programs=("HANDOFF_HOST", "LINKED_HOST"),
        )

    def test_after_the_program_has_used_its_own(self):
        self.check(
            "import Foo, gc",
            "foo = Foo.Foo(0.001, [].append); foo.start()",
            "import needs_other",
            "things = [needs_other.Thing() for _ in range(100)]",
            "foo.wait(3, 20); foo.stop()",
            "del things, foo; gc.collect()",
            programs=("HANDOFF_HOST", "LINKED_HOST"),
        )

    def test_what_is_no_library_is_the_error_that_it_was(self):
        for content in (b"", b"\x7fELF", b"\x7fELF\2\1\1" + bytes(400), b"no library"):
            folder = self.enterContext(tempfile.TemporaryDirectory())
            Path(folder, "broken.so").write_bytes(content)
            outcomes = {
                subprocess.run(
                    [program, "-c", "import broken"],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    env={**os.environ, "PYTHONPATH": folder},
                    check=False,
                ).stderr.splitlines()[-1]
                for program in (*HOSTS.values(), STOCK)
            }
            self.assertEqual(len(outcomes), 1, outcomes)
            self.assertIn("ImportError: ", *outcomes)

    def test_is_not_in_the_global_scope_of_the_host(self):
        code = "import ctypes, Foo; print(hasattr(ctypes.CDLL(None), {!r}))"
        function = "_ZN5boost6python23throw_error_already_setEv"
        for name, has in (("HANDOFF_HOST", "False"), ("LINKED_HOST", "True")):
            told = subprocess.run(
                [HOSTS[name], "-c", code.format(function)],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            self.assertEqual(told.stdout, has + "\n")


if __name__ == "__main__":
    unittest.main()
