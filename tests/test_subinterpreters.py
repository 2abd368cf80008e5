"""Foo belongs to the main interpreter: in any other its import is refused, and harms nobody."""

import unittest

from host import HOST, STOCK, InFolder, finish, run, start
from ten_foos import BesideTenFoos, joined
from test_watched_host import not_under_tsan

INTERPRETERS = """
    try:
        import _interpreters as interpreters
    except ImportError:  # before 3.13
        import _xxsubinterpreters as interpreters

    def create(isolated):
        '''With a GIL of its own, where there is such a thing, or with the main one's.'''
        if hasattr(interpreters, "new_config"):
            return interpreters.create("isolated" if isolated else "legacy")
        return interpreters.create(isolated=isolated)

    def import_in(interpreter):
        failed = interpreters.run_string(interpreter, '''if True:
            for attempt in range(2):
                try:
                    import Foo
                except ImportError as error:
                    print("ImportError:", error, flush=True)
                else:
                    print("imported", flush=True)
        ''')
        assert failed is None, failed
    """
# From 3.12 on, CPython itself refuses a module that main has imported, and has words of its own.
REFUSAL = r"(ImportError: .*(main interpreter|support loading in subinterpreters).*\n)"


class ImportingFoo(BesideTenFoos):
    def imports(self, script, count, check):
        def once():
            outcome = check(joined(INTERPRETERS, script))
            self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)
            self.assertRegex(outcome.stdout, rf"^{REFUSAL}{{{count}}}done\n$")

        self.again(once)

    def test_is_refused_while_mains_foos_go_on(self):
        def check(script):
            self.write_script(script)
            outcome = self.leave(HOST)
            self.check_report()
            return outcome

        self.imports(
            """
            for isolated in (True, False):
                for _ in range(5):
                    interpreter = create(isolated)
                    import_in(interpreter)
                    interpreters.destroy(interpreter)
            assert f.wait(len(f) + 20, 60)
            print("done")
            """,
            20,
            check,
        )

    def test_is_refused_in_a_thread_of_its_own(self):
        def check(script):
            self.write_script(script)
            outcome = self.leave(HOST)
            self.check_report()
            return outcome

        self.imports(
            """
            import threading
            def work(isolated):
                interpreter = create(isolated)
                import_in(interpreter)
                interpreters.destroy(interpreter)
            for isolated in (True, False):
                thread = threading.Thread(target=work, args=[isolated])
                thread.start()
                assert f.wait(len(f) + 20, 60)
                thread.join()
            print("done")
            """,
            4,
            check,
        )

    def test_is_refused_before_main_imports_it_which_then_can(self):
        for isolated in True, False:
            with self.subTest(isolated):
                self.imports(
                    f"""
                    interpreter = create(isolated={isolated})
                    import_in(interpreter)
                    import Foo
                    with Foo.Foo(0.001, None) as f:
                        assert f.wait(3, 60)
                        import_in(interpreter)
                        assert f.wait(len(f) + 3, 60)
                    interpreters.destroy(interpreter)
                    print("done")
                    """,
                    4,
                    lambda script: self.host("-c", script),
                )

    @unittest.skipIf(
        run(STOCK, "-c", "import concurrent.interpreters").code, "concurrent.interpreters is new"
    )
    def test_is_refused_in_a_concurrent_interpreter(self):
        self.imports(
            """
            import concurrent.interpreters, Foo
            with Foo.Foo(0.001, None) as f:
                interpreter = concurrent.interpreters.create()
                try:
                    interpreter.exec("import Foo")
                except concurrent.interpreters.ExecutionFailed as error:
                    print(str(error).splitlines()[0])
                interpreter.close()
                assert f.wait(len(f) + 3, 60)
            print("done")
            """,
            1,
            lambda script: self.host("-c", script),
        )


class LeavingBesideASubinterpreter(BesideTenFoos):
    def test_that_is_left_behind(self):
        self.leaves(joined(INTERPRETERS, "kept = create(isolated=True)"), 0)

    def test_that_has_refused_foo_and_is_left_behind(self):
        script = "kept = create(isolated=True)\nimport_in(kept)"
        self.write_script(joined(INTERPRETERS, script))

        def once():
            outcome = self.leave(HOST)
            self.assertEqual(outcome.code, 0, outcome)
            self.assertRegex(outcome.stdout, rf"^{REFUSAL}{{2}}$")
            self.check_report()

        self.again(once)


class Watched(InFolder):
    @not_under_tsan
    def test_names_a_holder_in_a_subinterpreter_that_shares_the_gil(self):
        script = joined(
            INTERPRETERS,
            """
            shares_the_gil = create(isolated=False)
            interpreters.run_string(shares_the_gil, '''if True:
                import ctypes
                ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)
            ''')
            print("done")
            """,
        )
        process = start(HOST, "-X", "gilwatch=0.3", "-c", script, stdin=-1)
        seen = ""
        while "gilwatch: " not in seen:
            line = process.stderr.readline().decode()
            self.assertNotEqual(line, "", f"the program ended after {seen!r}")
            seen += line
        process.stdin.write(b"x")
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.stdout), (0, "done\n"))
        self.assertIn("gilwatch: the main thread holds the GIL and waits for input", seen)


class Host(InFolder):
    def test_runs_subinterpreters_as_the_stock_interpreter_does(self):
        script = joined(
            INTERPRETERS,
            """
            for isolated in (True, False):
                interpreter = create(isolated)
                interpreters.run_string(interpreter, "import sys; print(len(sys.argv), flush=True)")
                interpreters.destroy(interpreter)
            """,
        )
        self.again(lambda: self.same("-c", script))
