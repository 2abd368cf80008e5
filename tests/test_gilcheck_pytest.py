"""gilcheck's plugin of pytest: which test a finding fails, in which process it was made."""

import os
import re
import select
import signal
import subprocess
import sys
import unittest
import xml.etree.ElementTree
from pathlib import Path
from subprocess import PIPE

from host import HOST, STOCK, TIMEOUT, InFolder, environment, finish, start

MODULES = os.environ["MODULES_FOLDER"]
PACKAGES = os.environ["PYTHON_PACKAGES"]
LIBRARY = str(Path(PACKAGES) / "gilcheck" / "libgilcheck.so")


def folder_with(module):
    """Where the project's tools have it; None: they have not, or are for another Python."""
    tools = os.environ["TOOLS_PYTHON"]
    if not Path(tools).exists():
        return None
    code = f"import sys, {module}; print(sys.version_info[:2]); print({module}.__file__)"
    asked = subprocess.run([tools, "-c", code], capture_output=True, text=True, check=False)
    version, _, file = asked.stdout.strip().partition("\n")
    is_there = asked.returncode == 0 and version == str(sys.version_info[:2])
    return str(Path(file).parent.parent) if is_there else None


PYTEST = folder_with("pytest")
XDIST = folder_with("xdist")
PATH = f"{PACKAGES}:{MODULES}:{MODULES}/lock_orders/c:{PYTEST}"


@unittest.skipIf(PYTEST is None, "there is no pytest in .venv; `make test-all` installs it")
class Tested(InFolder):
    """Each test writes tests, and runs them."""

    def start_pytest(self, *options, program=(STOCK,), stdout=PIPE, stderr=PIPE, **variables):
        plugins = ("-p", "gilcheck.pytest_plugin", "-p", "no:cacheprovider")
        return start(
            *(*program, "-m", "pytest", *plugins, "--junitxml=results.xml", *options, "tests"),
            cwd=self.folder,
            env=environment(PYTHONPATH=PATH, COLUMNS="200", **variables),
            stdout=stdout,
            stderr=stderr,
        )

    def run_pytest(self, *options, **how):
        return finish(self.start_pytest(*options, **how))

    def write_tests(self, code, name="test_it"):
        imports = "import os, signal, subprocess, sys, lock_orders, misuse_c, pytest\n"
        self.write(f"tests/{name}.py", imports + self.write("code", code).read_text())

    def results(self):
        """(passed, failure, error or skipped; its text) of each test."""
        found = {}
        for case in xml.etree.ElementTree.parse(self.folder / "results.xml").iter("testcase"):
            name = case.get("name").removeprefix("test_")
            parts = {each.tag: (each.text or "") for each in case}
            kind = next((each for each in ("error", "failure", "skipped") if each in parts), None)
            found[name] = (kind or "passed", "".join(parts.values()))
        return found

    def assert_results(self, outcome, **expected):
        """Of each test its kind."""
        found = self.results()
        self.assertEqual({name: kind for name, (kind, _) in found.items()}, expected, outcome)

    def assert_text(self, name, *patterns):
        for pattern in patterns:
            self.assertRegex(self.results()[name][1], pattern)


class Finding(Tested):
    def test_fails_the_test_that_made_it_in_any_of_its_parts(self):
        self.write_tests("""
            @pytest.fixture
            def begins(): misuse_c.released([])
            @pytest.fixture
            def ends(): yield; misuse_c.after_the_guard([])
            def test_right(): misuse_c.guarded([])
            def test_setup(begins): pass
            def test_call(): misuse_c.never_acquired([])
            def test_teardown(ends): pass
            def test_right_again(): misuse_c.guarded([])
            """)
        outcome = self.run_pytest("--gilcheck")
        self.assertEqual((outcome.code, outcome.stderr), (1, ""), outcome)
        parts = {"setup": "error", "call": "failure", "teardown": "error"}
        self.assert_results(outcome, right="passed", right_again="passed", **parts)
        text = r"^gilcheck: PyList_Size\(\) was called without the GIL, by .*"
        self.assert_text("setup", rf"{text}\breleased\(", "\n  do  ")
        self.assert_text("call", rf"{text}\bnever_acquired\(", "\n  do  ")
        self.assert_text("teardown", rf"{text}\bafter_the_guard\(", "\n  do  ")
        line = r"(?m)^FAILED tests/test_it.py::test_call - gilcheck: PyList_Size\(\) .*\n[A-Z]"
        self.assertRegex(outcome.stdout, line)  # the summary has no more of it
        self.assertNotIn("between tests", outcome.stdout)

    def test_of_a_deadlock_is_there_before_the_test_is_judged(self):
        self.write_tests("""
            def test_right(): lock_orders.mutex_right()
            def test_faulty(): lock_orders.mutex_faulty()
            def test_call(): misuse_c.never_acquired([])
            """)
        outcome = self.run_pytest("--gil-deadlocks")
        self.assertEqual(outcome.code, 1, outcome)
        self.assert_results(outcome, right="passed", faulty="failure", call="passed")
        self.assert_text("faulty", r"^gilcheck: possible deadlock: .*look_into", "\n  do  ")
        outcome = self.run_pytest("--gil-deadlocks", "--gilcheck")
        self.assert_results(outcome, right="passed", faulty="failure", call="failure")

    def test_of_a_test_that_deadlocks_is_on_stderr_at_once(self):
        self.write_tests("def test_hangs(): lock_orders.join_hangs()")
        process = self.start_pytest("--gil-deadlocks")
        try:
            told = next(line for line in process.stderr if line.startswith(b"gilcheck: "))
        finally:
            process.kill()
            process.communicate()
        self.assertRegex(told.decode(), "^gilcheck: deadlock: .*join_worker.* with the GIL held")

    def test_of_a_test_that_deadlocks_stays_in_a_file(self):
        """What is written to the file afterwards comes behind it."""
        self.write_tests("def test_hangs(): lock_orders.join_hangs()")
        limit = ("-o", "faulthandler_timeout=3", "-o", "faulthandler_exit_on_timeout=true")
        with (self.folder / "said").open("wb", buffering=0) as said:
            process = self.start_pytest("--gil-deadlocks", *limit, stdout=said, stderr=said)
            self.assertEqual(process.wait(TIMEOUT), 1)
            said.write(b"afterwards")
        text = (self.folder / "said").read_text()
        self.assertRegex(text, "(?m)^gilcheck: deadlock: .*join_worker.* with the GIL held")
        self.assertRegex(text, r"(?s)gilcheck: deadlock: .*Timeout \(0:00:03\)!.*afterwards$")

    def test_before_a_crash_is_on_stderr_and_leaves_no_folder(self):
        self.write_tests("""
            def test_call(): misuse_c.never_acquired([])
            def test_crash():
                if os.fork() == 0: os.kill(os.getpid(), signal.SIGSEGV)
                os.wait()
                misuse_c.released([])
                os.kill(os.getpid(), signal.SIGSEGV)
            """)
        (self.folder / "temporary").mkdir()
        for options in ("--gilcheck",), ("--gil-deadlocks",), ("--gilcheck", "-s"):
            with self.subTest(options):
                process = self.start_pytest(*options, TMPDIR=str(self.folder / "temporary"))
                outcome = finish(process, aborts=True)
                self.assertEqual(outcome.code, -signal.SIGSEGV, outcome)
                names = re.findall(r"(?m)^gilcheck: PyList_Size.*\b(\w+)\(_object", outcome.stderr)
                expected = ["never_acquired", "released"] * ("--gilcheck" in options)
                self.assertEqual(names, expected, outcome)
                self.assertEqual(list((self.folder / "temporary").iterdir()), [])

    def test_before_a_crash_comes_after_what_the_library_said(self):
        self.write_tests("def test_crash(): misuse_c.uncaught([])")
        outcome = finish(self.start_pytest("--gilcheck"), aborts=True)
        self.assertEqual(outcome.code, -signal.SIGABRT, outcome)
        self.assertRegex(
            outcome.stderr,
            r"--- the last of the stderr that was captured:\n"
            r"terminate called after throwing an instance of 'std::runtime_error'\n"
            r"(?s:.*)\n---\n(?s:.*)gilcheck: the program dies of SIGABRT",
        )

    def test_before_a_crash_is_shown_after_the_end_of_much_that_was_captured(self):
        self.write_tests("""
            def test_crash():
                os.write(2, b"begin" + 5000 * b"." + b"end")
                os.kill(os.getpid(), signal.SIGSEGV)
            """)
        outcome = finish(self.start_pytest("--gilcheck"), aborts=True)
        shown = re.search(r"that was captured:\n((?s:.*))\n---\n", outcome.stderr)
        self.assertEqual(shown and shown[1], 4093 * "." + "end", outcome)

    def test_before_a_crash_that_may_be_what_gilcheck_does_not_see(self):
        self.write_tests("def test_crash(): os.kill(os.getpid(), signal.SIGSEGV)")
        outcome = finish(self.start_pytest("--gilcheck"), aborts=True)
        said = "(?m)^.*gilcheck: the program dies of SIGSEGV, and nothing was reported"
        self.assertRegex(outcome.stderr, said)

    def test_is_no_note_that_there_is_no_more_room(self):
        self.write_tests(
            """
            import lock_orders
            def test_right(): lock_orders.many_held_right()
            """
        )
        outcome = self.run_pytest("--gil-deadlocks")
        self.assert_results(outcome, right="passed")
        self.assertRegex(outcome.stdout, "gilcheck: notes.*\\ngilcheck: note: not every deadlock")

    def test_of_a_hold_that_is_over_budget(self):
        holds = str(Path(MODULES) / "long_holds" / "lines")
        self.write_tests(f"""
            import threading, time
            sys.path.append({holds!r})
            import long_holds
            def test_right(): pass
            def test_faulty():
                ends = threading.Event()
                def want():
                    while not ends.is_set(): time.sleep(.001)
                waiter = threading.Thread(target=want)
                waiter.start()
                long_holds.works()
                ends.set()
                waiter.join()
            """)
        outcome = self.run_pytest("--gil-budget=50ms")
        self.assert_results(outcome, right="passed", faulty="failure")
        folded = r"\n  Python   test_faulty\(\) at .*\n           … \d+ of pytest's\n"
        self.assert_text("faulty", r"^gilcheck: over budget: .*simulate", folded, "\n  do  ")
        outcome = self.run_pytest("--gil-budget=5")
        self.assertIn("a budget is a time from", outcome.stdout + outcome.stderr)

    def test_of_pytests_own_that_is_over_budget_is_none(self):
        """It collects its garbage when the session is over, for example."""
        self.write_tests("def test_right(): pass")
        self.write(
            "tests/conftest.py",
            """
            import ctypes
            def pytest_configure(config):
                config.add_cleanup(lambda: ctypes.PyDLL(None).usleep(900_000))
            """,
        )
        outcome = self.run_pytest("--gil-budget=200ms")
        self.assert_results(outcome, right="passed")
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))

    def test_is_waited_for(self):
        """What looks up the first line of source goes on when the plugin waits for the report."""
        os.mkfifo(self.folder / "answer")
        once = "[ -e once ] || { touch once; read _ < answer; }"
        self.write("addr2line", f"#!/bin/sh\n{once}\n").chmod(0o755)
        self.write_tests("""
            import threading
            main = threading.get_ident()
            def answer():
                while sys._current_frames()[main].f_code.co_name != "flush": os.sched_yield()
                with open("answer", "w") as file: file.write("\\n")
            def test_faulty():
                threading.Thread(target=answer, daemon=True).start()
                lock_orders.mutex_faulty()
            def test_right(): pass
            """)
        path = f"{self.folder}:{os.environ['PATH']}"
        outcome = self.run_pytest("--gil-deadlocks", PATH=path)
        self.assert_results(outcome, faulty="failure", right="passed")

    def test_is_excused_by_nothing(self):
        self.write_tests("""
            @pytest.mark.xfail
            def test_xfail(): misuse_c.never_acquired([]); assert False
            def test_skip(): misuse_c.released([]); pytest.skip("not today")
            def test_fails(): misuse_c.beside_a_holder([]); raise KeyError("its own")
            """)
        outcome = self.run_pytest("--gilcheck")
        self.assert_results(outcome, xfail="failure", skip="failure", fails="failure")
        self.assert_text("xfail", r"^gilcheck: .*\bnever_acquired\(")
        self.assert_text("skip", r"^gilcheck: .*\breleased\(")
        self.assert_text("fails", "its own")
        self.assertRegex(outcome.stdout, r"-+ gilcheck -+\ngilcheck: .*\bbeside_a_holder\(")

    def test_in_a_test_that_is_repeated_until_it_passes_fails_the_session(self):
        """As plugins do that run flaky tests again: the place is reported once."""
        self.write(
            "tests/conftest.py",
            """
            from _pytest.runner import runtestprotocol

            def pytest_runtest_protocol(item, nextitem):
                runtestprotocol(item, log=False, nextitem=nextitem)
                runtestprotocol(item, log=True, nextitem=nextitem)
                return True
            """,
        )
        self.write_tests("def test_flaky(): misuse_c.never_acquired([])")
        outcome = self.run_pytest("--gilcheck")
        self.assert_results(outcome, flaky="passed")
        self.assertEqual(outcome.code, 1, outcome)

    def test_between_tests_is_told_at_the_end(self):
        self.write_tests("""
            misuse_c.never_acquired([])
            def test_right(): pass
            """)
        self.write(
            "tests/conftest.py",
            """
            import misuse_c

            def pytest_runtest_logfinish(): misuse_c.released([])
            """,
        )
        outcome = self.run_pytest("--gilcheck")
        self.assertEqual((outcome.code, outcome.stderr), (1, ""), outcome)
        self.assert_results(outcome, right="passed")
        told = outcome.stdout.partition("gilcheck: found between tests")[2]
        names = re.findall(r"(?m)^gilcheck: .*\b(\w+)\(_object", told)
        self.assertEqual(names, ["never_acquired", "released"])

    def test_after_the_session_is_told_on_stderr(self):
        self.write_tests("""
            import atexit
            def test_right(): atexit.register(misuse_c.released, [])
            """)
        outcome = self.run_pytest("--gilcheck")
        self.assertEqual(outcome.code, 66, outcome)
        self.assertRegex(outcome.stderr, r"^gilcheck: .*\breleased\(")


class Processes(Tested):
    """What a test starts is checked as well."""

    def test_fail_the_test_that_started_them(self):
        self.write_tests("""
            import multiprocessing
            def work(name): getattr(misuse_c, name)([])
            def process(how, name):
                process = multiprocessing.get_context(how).Process(target=work, args=(name,))
                process.start(); process.join()
                return process.exitcode
            def child(code, **options):
                code = "import lock_orders, misuse_c; " + code
                return subprocess.run([sys.executable, "-c", code], **options).returncode
            def test_call(): assert child("misuse_c.released([])") == 66
            def test_elsewhere(): assert child("misuse_c.released([])", cwd="/") == 66
            def test_deadlock(): assert child("lock_orders.mutex_faulty()") == 66
            def test_right(): assert child("misuse_c.guarded([])") == 0
            def test_other(): assert subprocess.run(["/bin/true"]).returncode == 0
            def test_os_fork():
                if os.fork() == 0: misuse_c.beside_a_holder([]); os._exit(0)
                os.wait()
            def test_fork(): process("fork", "never_acquired")
            def test_spawn(): process("spawn", "never_acquired")
            def test_fork_right(): assert process("fork", "guarded") == 0
            def test_spawn_right(): assert process("spawn", "guarded") == 0
            """)
        outcome = self.run_pytest("--gilcheck", "--gil-deadlocks")
        faulty = ("call", "elsewhere", "deadlock", "os_fork", "fork", "spawn")
        right = ("right", "other", "fork_right", "spawn_right")
        expected = dict.fromkeys(faulty, "failure") | dict.fromkeys(right, "passed")
        self.assert_results(outcome, **expected)
        self.assert_text("call", r"^gilcheck: PyList_Size\(\) .*\breleased\(")
        self.assert_text("deadlock", "^gilcheck: possible deadlock: ")
        for each in "fork", "spawn":
            self.assert_text(each, r"^gilcheck: PyList_Size\(\) .*\bnever_acquired\(")

    def test_begin_with_the_variables_that_were_there(self):
        """And so do those that are started after the session."""
        show = "print([os.environ.get(name) for name in ('LD_PRELOAD', 'GILCHECK')])"
        self.write_tests(f"""
            import atexit
            def show(): {show}
            def test_right(): atexit.register(show)
            """)
        for variables in ({}, {"LD_PRELOAD": "libm.so.6", "GILCHECK": "once"}):
            outcome = self.run_pytest("--gilcheck", **variables)
            told = [variables.get("LD_PRELOAD"), variables.get("GILCHECK")]
            self.assertEqual(outcome.code, 0, outcome)
            self.assertEqual(outcome.stdout.splitlines()[-1], str(told))


@unittest.skipIf(XDIST is None, "there is no pytest-xdist in .venv; `make test-all` installs it")
class Workers(Tested):
    """Of pytest-xdist: each of them checks itself."""

    def test_fail_the_tests_that_they_run(self):
        for name in "first", "second":
            self.write_tests(
                f"""
                if "PYTEST_XDIST_WORKER" in os.environ: misuse_c.beside_a_holder([])
                def test_{name}_call(): misuse_c.never_acquired([])
                def test_{name}_child():
                    subprocess.run([sys.executable, "-c", "import misuse_c; misuse_c.released([])"])
                def test_{name}_deadlock(): lock_orders.native_faulty()
                def test_{name}_right(): misuse_c.guarded([])
                """,
                f"test_{name}",
            )
        self.write("rules", "lock:of_index  # not ours\n")
        outcome = self.run_pytest(
            *("-n2", "--dist=loadfile", "--gilcheck", "--gil-deadlocks"),
            *("--gil-suppressions", "rules"),
        )
        self.assertEqual((outcome.code, outcome.stderr), (1, ""), outcome)
        kinds = {"call": "failure", "child": "failure", "deadlock": "passed", "right": "passed"}
        expected = {f"{n}_{each}": kinds[each] for n in ("first", "second") for each in kinds}
        self.assert_results(outcome, **expected)
        for name in "first", "second":
            self.assert_text(f"{name}_call", r"^gilcheck: .*\bnever_acquired\(")
            self.assert_text(f"{name}_child", r"^gilcheck: .*\breleased\(")
        told = outcome.stdout.partition("gilcheck: found between tests")[2]
        self.assertEqual(len(re.findall(r"(?m)^gilcheck: .*\bbeside_a_holder\(", told)), 2)

    def test_that_find_nothing_are_silent(self):
        self.write_tests("def test_right(): misuse_c.guarded([])")
        outcome = self.run_pytest("-n2", "--gilcheck")
        self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)
        self.assertNotIn("gilcheck", outcome.stdout)

    def test_that_crash_leave_what_they_have_found(self):
        for number in signal.SIGKILL, signal.SIGSEGV:
            self.write_tests(f"""
                def test_crash(): misuse_c.never_acquired([]); os.kill(os.getpid(), {number:d})
                """)
            with self.subTest(number):
                outcome = self.run_pytest("-n1", "--gilcheck")
                self.assertEqual(outcome.code, 1, outcome)
                told = outcome.stdout.partition("gilcheck: found between tests")[2]
                self.assertRegex(told, r"gilcheck: .*\bnever_acquired\(")
                self.assertNotIn("gilcheck", outcome.stderr)  # once is enough


class Options(Tested):
    def test_without_them_it_does_nothing_and_imports_nothing(self):
        self.write_tests("""
            def test_call():
                misuse_c.never_acquired([])
                assert "gilcheck" not in os.environ.get("LD_PRELOAD", "")
                assert "libgilcheck" not in open("/proc/self/maps").read()
            """)
        outcome = self.run_pytest()
        self.assertEqual(outcome.code, 0, outcome)
        code = (
            "import sys, pytest; before = {*sys.modules}; import gilcheck.pytest_plugin\n"
            "print(sorted({*sys.modules} - before))"
        )
        told = self.succeed(STOCK, "-c", code, PYTHONPATH=PATH).stdout
        self.assertEqual(told, "['gilcheck', 'gilcheck.pytest_plugin']\n")

    def test_suppressions_are_looked_up_where_pytest_is_called(self):
        self.write("rules", "function:never_acquired  # not ours\n")
        self.write_tests("""
            @pytest.fixture(autouse=True)
            def elsewhere(monkeypatch): monkeypatch.chdir("/")
            def test_known(): misuse_c.never_acquired([])
            def test_new(): misuse_c.released([])
            def test_child():
                code = "import misuse_c; misuse_c.never_acquired([])"
                subprocess.run([sys.executable, "-c", code], check=True)
            """)
        outcome = self.run_pytest("--gilcheck", "--gil-suppressions=rules")
        self.assert_results(outcome, known="passed", new="failure", child="passed")

    def test_that_are_wrong_are_refused(self):
        self.write("rules", "function:f\n")
        self.write_tests("def test_nothing(): pass")
        for options, said in (
            (
                ("--gil-suppressions=rules",),
                "goes with --gilcheck, --gil-deadlocks or --gil-budget",
            ),
            (("--gilcheck", "--gil-suppressions=none"), r"/none' cannot be read: No such file"),
            (("--gilcheck", "--gil-suppressions=rules"), r"/rules:1: 'function:f' has no reason"),
            (("--gilcheck", "--gil-suppressions=a,b"), r"/a,b: a comma separates"),
        ):
            with self.subTest(options):
                outcome = self.run_pytest(*options)
                self.assertEqual(outcome.code, 4, outcome)
                self.assertRegex(outcome.stderr, rf"^ERROR: .*{said}")

    def test_go_with_the_host_but_not_with_its_own_checker(self):
        self.write_tests("def test_call(): misuse_c.never_acquired([])")
        outcome = self.run_pytest("--gilcheck", program=(HOST,))
        self.assert_results(outcome, call="failure")
        command = ("-X", "gilcheck", "-m", "pytest", "-p", "gilcheck.pytest_plugin", "--gilcheck")
        refused = self.host(*command, env=environment(PYTHONPATH=PATH))
        self.assertEqual(refused.code, 4, refused)
        self.assertIn("-X gilcheck has this process checked by the host", refused.stderr)


class Commands(Tested):
    """Reports of a tool that runs pytest, or is preloaded, are not lost in what pytest captures."""

    def ways(self, settings="warn"):
        """Of gilcheck: the command that runs pytest, and its variables."""
        yield (STOCK, "-m", "gilcheck", "--settings", settings), {}
        yield (HOST, "-X", f"gilcheck={settings}"), {}
        yield (STOCK,), {"LD_PRELOAD": LIBRARY, "GILCHECK": settings}

    def test_tell_of_a_finding_on_stderr(self):
        self.write_tests("def test_call(): misuse_c.never_acquired([])")
        for program, variables in self.ways():
            with self.subTest(program):
                outcome = self.run_pytest(program=program, **variables)
                self.assertEqual(outcome.code, 66, outcome)
                self.assert_results(outcome, call="passed")
                self.assertRegex(outcome.stderr, r"^gilcheck: PyList_Size.*\bnever_acquired\(")

    def test_tell_of_a_finding_before_a_crash(self):
        self.write_tests("""
            def test_crash():
                if os.fork() == 0: misuse_c.never_acquired([]); os._exit(0)
                os.wait()
                misuse_c.released([])
                os.kill(os.getpid(), signal.SIGSEGV)
            """)
        for program, variables in self.ways():
            with self.subTest(program):
                process = self.start_pytest(program=program, **variables)
                outcome = finish(process, aborts=True)
                self.assertEqual(outcome.code, -signal.SIGSEGV, outcome)
                names = re.findall(r"(?m)^gilcheck: PyList_Size.*\b(\w+)\(_object", outcome.stderr)
                self.assertEqual(names, ["never_acquired", "released"], outcome)

    def test_tell_of_a_hang_that_gilwatch_sees(self):
        self.write_tests("""
            import ctypes, threading, time
            def test_hangs_a_while():
                threading.Thread(target=time.sleep, args=(0.1,)).start()
                ctypes.PyDLL(None).sleep(3)
            """)
        outcome = self.run_pytest(program=(STOCK, "-m", "gilwatch", "--after", "0.3"))
        self.assert_results(outcome, hangs_a_while="passed")
        self.assertRegex(outcome.stderr, r"^gilwatch: the main thread holds .*test_it.py:\d+")

    def test_have_pytest_warn_of_no_module_that_is_imported_already(self):
        """It wants to rewrite the asserts of all that is installed together with a plugin."""
        self.write("giltools-1.dist-info/METADATA", "Name: giltools\nVersion: 1\n")
        packages = ("gilcheck", "giltrace", "gilwatch", "handoff_attach")
        files = [f"{each}/__init__.py,,\n" for each in packages]
        self.write("giltools-1.dist-info/RECORD", "".join(files))
        self.write(
            "giltools-1.dist-info/entry_points.txt",
            "[pytest11]\ngilcheck = gilcheck.pytest_plugin\n",
        )
        self.write_tests("def test_right(): pass")
        for tool, *options in ("gilcheck",), ("gilwatch",), ("giltrace", "-o", "trace.html"):
            with self.subTest(tool):
                outcome = self.succeed(
                    *(STOCK, "-m", tool, *options, "-m", "pytest", "tests"),
                    PYTHONPATH=f"{self.folder}:{PATH}",
                )
                self.assertNotIn("warning", outcome.stdout)

    def test_write_where_the_program_has_its_stderr_if_that_is_no_capture(self):
        """As a daemon: into its log; and nobody keeps the pipe open that it has left."""
        code = (
            "import os, sys, misuse_c\n"
            "log = os.open('daemon.log', os.O_RDWR | os.O_CREAT)\n"
            "for each in 1, 2: os.dup2(log, each)\n"
            "os.close(log)\n"
            "misuse_c.never_acquired([])\n"
            "sys.stdin.read()"
        )
        for program, variables in self.ways():
            with self.subTest(program):
                process = start(
                    *(*program, "-c", code),
                    cwd=self.folder,
                    env=environment(PYTHONPATH=PATH, **variables),
                    stdin=subprocess.PIPE,
                )
                closed, _, _ = select.select([process.stderr], [], [], TIMEOUT)
                outcome = finish(process)
                self.assertTrue(closed, outcome)
                self.assertEqual((outcome.code, outcome.stderr), (66, ""), outcome)
                log = self.folder / "daemon.log"
                self.assertRegex(log.read_text(), r"^gilcheck: PyList_Size.*\bnever_acquired\(")
                log.unlink()


if __name__ == "__main__":
    unittest.main()
