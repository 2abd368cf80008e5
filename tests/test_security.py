"""What SECURITY.md promises: where modules come from, audit events, files, a hardened host."""

import shutil
import subprocess
import sys
import textwrap
import unittest

from host import HOST, InFolder, environment


class ModuleSearch(InFolder):
    """A module planted beside the script or in the working folder is found when python finds it."""

    def setUp(self):
        super().setUp()
        for name in ("threading.py", "atexit.py", "Foo.py"):  # what the host itself imports
            self.write(name, "print('planted:', __name__)")

    def test_a_planted_foo_never_replaces_the_one_built_in(self):
        for options in ((), ("-I",), ("-P",), ("-E",), ("-s",)):
            with self.subTest(options):
                outcome = self.host(*options, "-c", "import Foo; print(Foo.Foo.__module__)")
                self.assertEqual(outcome.code, 0, outcome.stderr)
                self.assertIn("Foo\n", outcome.stdout)
                self.assertNotIn("planted: Foo", outcome.stdout)

    @unittest.skipIf(sys.version_info < (3, 11), "safe paths are new in 3.11")
    def test_safe_paths_keep_the_working_folder_out(self):
        work = "import Foo; f = Foo.Foo(0.001, None); f.start(); print(f.wait(3)); f.stop()"
        for options, variables in (
            (("-P",), {}),
            (("-I",), {"PYTHONPATH": str(self.folder)}),
            ((), {"PYTHONSAFEPATH": "1"}),
        ):
            with self.subTest(options or variables):
                outcome = self.host(*options, "-c", work, env=environment(**variables))
                self.assertEqual(outcome, (0, "True\n", ""))

    def test_starting_imports_nothing_from_the_working_folder(self):
        self.assertEqual(self.same("-c", "print(1)").stdout, "1\n")


class Audit(InFolder):
    HOOK = """
        import atexit, sys, threading
        events = []
        def hook(event, arguments):
            if event.startswith(("Foo.", "handoff.")):
                events.append((event, arguments))
        sys.addaudithook(hook)

        @atexit.register
        def report():
            print(holds())

        from Foo import Foo
        """

    def test_start_of_a_foo_is_an_event(self):
        self.check("""
            f, g = Foo(3600, None), Foo(3600, None)
            f.start()
            with g: pass
            holds = lambda: [a for e, a in events if e == "Foo.start"] == [(f,), (g,)]
            """)

    def test_a_hook_may_refuse_a_start(self):
        self.check("""
            def refuse(event, arguments):
                if event == "Foo.start":
                    raise PermissionError("no threads here")
            sys.addaudithook(refuse)
            f = Foo(0.001, None)
            try:
                f.start()
            except PermissionError as error:
                refusal = str(error)
            holds = lambda: (refusal, f.running, len(f)) == ("no threads here", False, 0)
            """)

    def test_a_native_thread_that_starts_is_an_event_on_that_thread(self):
        self.check("""
            f = Foo(0.001, lambda n: native.append(threading.get_native_id()))
            native = []
            f.start()
            f.wait(1)
            holds = lambda: ("handoff.thread_start", ("Foo", native[0])) in events
            """)

    def test_a_native_thread_that_ends_is_an_event(self):
        self.check("""
            f = Foo(0.001, None)
            f.start()
            f.wait(3)
            def holds():
                (started,) = (a for e, a in events if e == "handoff.thread_start")
                return events[-1] == ("handoff.thread_stop", started)
            """)

    def check(self, script):
        path = self.write("script.py", textwrap.dedent(self.HOOK) + textwrap.dedent(script))
        self.assertEqual(self.host(path), (0, "True\n", ""))


class Files(InFolder):
    def test_none_is_written_that_stock_python_does_not_write(self):
        self.write("neighbour.py", "import Foo; f = Foo.Foo(0.001, None); f.start(); f.wait(3)")
        script = self.write("script.py", "import neighbour; neighbour.f.stop()")
        before = {*self.folder.rglob("*"), self.folder / "__pycache__"}
        variables = environment(HOME=str(self.folder), TMPDIR=str(self.folder))
        self.assertEqual(self.host(script, env=variables), (0, "", ""))
        written = {path for path in self.folder.rglob("*") if path.parent.name != "__pycache__"}
        self.assertEqual(written - before, set())


@unittest.skipUnless(shutil.which("readelf"), "needs readelf, of binutils")
class Hardening(unittest.TestCase):
    """As CMake built the host: a Debug build is not fortified, nor is one with a sanitizer."""

    def setUp(self):
        command = ("readelf", "--wide", "--dynamic", "--segments", "--dyn-syms", HOST)
        self.elf = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def test_relocations_are_read_only_and_resolved_at_the_start(self):
        self.assertIn("GNU_RELRO", self.elf)
        self.assertIn("BIND_NOW", self.elf)

    def test_the_stack_is_protected_and_not_executable(self):
        self.assertIn("__stack_chk_fail", self.elf)
        self.assertRegex(self.elf, r"GNU_STACK .* RW +0x")
