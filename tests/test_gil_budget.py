"""Budgets and figures of the GIL: under the stock interpreter, in the host, and preloaded."""

import json
import os
import re
import shutil
import sys
import textwrap
import unittest
from pathlib import Path

from host import HOST, STOCK, InFolder, environment, finish, start

MODULES = Path(os.environ["MODULES_FOLDER"]) / "long_holds" / "lines"
PACKAGES = os.environ["PYTHON_PACKAGES"]
LIBRARY = str(Path(PACKAGES) / "gilcheck" / "libgilcheck.so")

# Another thread wants the GIL all the while.
BESIDE_A_WAITER = textwrap.dedent("""
    import long_holds, threading, time
    ends = threading.Event()
    def want():
        while not ends.is_set(): time.sleep(.001)
    waiter = threading.Thread(target=want)
    waiter.start()
    {}
    ends.set()
    waiter.join()
    """)
PYTHON_CODE = textwrap.dedent("""
    import math, threading
    def compute():
        for n in range(3_000_000): math.sqrt(n)
    compute()
    all = [threading.Thread(target=compute) for _ in range(3)]
    for each in all: each.start()
    for each in all: each.join()
    """)


class Measured(InFolder):
    def run_command(self, *command, **variables):
        paths = {"PYTHONPATH": f"{PACKAGES}:{MODULES}"}
        process = start(*command, cwd=self.folder, env=environment(**paths, **variables))
        return finish(process)

    def every_way(self, code, settings):
        """(the way, its outcome) of each."""
        yield (
            "module",
            self.run_command(STOCK, "-m", "gilcheck", "--settings", settings, "-c", code),
        )
        yield "host", self.run_command(HOST, "-X", f"gilcheck={settings}", "-c", code)
        variables = {"LD_PRELOAD": LIBRARY, "GILCHECK": settings}
        yield "preloaded", self.run_command(STOCK, "-c", code, **variables)


class Budget(Measured):
    def assert_one_report(self, work, expected):
        code = BESIDE_A_WAITER.format(work)
        for way, outcome in self.every_way(code, "budget=100ms"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 66, outcome)
                # On a slow machine an import of the program's may be another.
                lines = outcome.stderr.splitlines()
                pattern = "^gilcheck: over budget: " + expected
                self.assertEqual(len([each for each in lines if re.match(pattern, each)]), 1, lines)

    def test_names_the_users_function_that_computes(self):
        self.assert_one_report(
            "long_holds.works(); long_holds.works()",
            r".*simulate\(\) at long_holds\.cpp:\d+ has held the GIL for \S+ m?s so far, and "
            "100 ms are allowed$",
        )

    def test_names_a_function_once_wherever_in_it_it_is_met(self):
        self.assert_one_report(
            "for _ in range(4): long_holds.works_in_turns()", r".*simulate_in_turns\(\) at"
        )

    def test_names_what_a_holder_waits_in_that_is_not_asked(self):
        self.assert_one_report(
            "long_holds.dozes()", r".*dozes?\(.*\) at long_holds\.cpp:\d+ has held the GIL for"
        )

    def test_says_how_ctypes_calls_without_the_gil(self):
        code = BESIDE_A_WAITER.format("import ctypes; ctypes.PyDLL(None).usleep(900_000)")
        for way, outcome in self.every_way(code, "budget=100ms"):
            with self.subTest(way):
                self.assertRegex(
                    outcome.stderr, r"over budget: a wait in clock_nanosleep\(\), called by "
                )
                self.assertIn("\n  do       Call it through ctypes.CDLL, ", outcome.stderr)

    def test_names_the_line_of_a_holder_that_blocks_all_signals(self):
        """Its C++ stack is not to be had."""
        self.assert_one_report(
            "import signal\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
            "long_holds.works()",
            r"native code(?:, called by <module>(?:\(\))? at <string>:\d+)? has held the GIL",
        )

    def test_names_a_native_thread_that_holds_it(self):
        self.assert_one_report(
            "long_holds.thread_works()", r".*simulate\(\) at long_holds\.cpp:\d+ has held the GIL"
        )

    def test_says_nothing_of_python_code_that_computes(self):
        for way, outcome in self.every_way(PYTHON_CODE, "budget=100ms"):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stderr), (0, ""))

    def test_says_nothing_of_an_import_and_of_the_end_but_of_other_code_of_pythons_own(self):
        large = "\n".join(
            f"def f{n}(a, b): return [a + {n}, b, (a, b), str(a)]" for n in range(20_000)
        )
        (self.folder / "large.py").write_text(large)
        for way, outcome in self.every_way(BESIDE_A_WAITER.format("import large"), "budget=20ms"):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stderr), (0, ""))
            shutil.rmtree(self.folder / "__pycache__")
        work = "compile(open('large.py').read(), 'large.py', 'exec')"
        self.assert_one_report(work, r"Python's own code \(.*\), called by .* has held the GIL for")

    @unittest.skipIf(sys.version_info < (3, 13), "no pending call is made before Python 3.13")
    def test_needs_nobody_who_waits(self):
        outcome = self.run_command(
            STOCK, "-m", "gilcheck", "--budget", "100ms", "-c", "import long_holds as l; l.works()"
        )
        self.assertRegex(outcome.stderr, r"^gilcheck: over budget: .*simulate\(\) at")

    def test_is_one_line_of_json_if_wanted(self):
        code = BESIDE_A_WAITER.format("long_holds.works()")
        outcome = self.run_command(
            STOCK, "-m", "gilcheck", "--settings", "budget=100ms,json", "-c", code
        )
        reports = [json.loads(line) for line in outcome.stderr.splitlines()]
        (report,) = (each for each in reports if "simulate" in each["at"])
        self.assertEqual(report["finding"], "over_budget")
        self.assertGreater(report["held"], report["budget"])
        self.assertRegex(report["at"], "simulate")

    def test_is_left_out_where_it_is_known(self):
        """By its function; with a log it is there."""
        self.write("rules", "function:simulate()  # it is fast enough\n")
        for work, by in (
            ("long_holds.works()", {"functions": ["simulate()"], "module": "long_holds.so"}),
            ("long_holds.dozes()", {"functions": ["doze()"], "module": "long_holds.so"}),
        ):
            code = BESIDE_A_WAITER.format(work)
            written = self.by_settings(code, "write-baseline=known")
            self.assertEqual((written.code, written.stderr), (0, ""))
            known = json.loads((self.folder / "known").read_text())
            self.assertEqual((known["finding"], len(known["by"])), ("over_budget", 1))
            (told,) = known["by"]
            names = [each.rpartition("::")[2] for each in told["functions"]]
            self.assertEqual({"functions": names, "module": told["module"]}, by)
            for settings, code_of_it in (("baseline=known", 0), ("log=log", 66)):
                outcome = self.by_settings(code, settings)
                self.assertEqual((outcome.code, outcome.stderr), (code_of_it, ""))
            self.assertIn("over budget", (self.folder / "log").read_text())
            (self.folder / "known").unlink()
        code = BESIDE_A_WAITER.format("long_holds.works()")
        outcome = self.by_settings(code, "suppressions=rules")
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))

    def by_settings(self, code, settings):
        settings = f"budget=100ms,{settings}"
        return self.run_command(STOCK, "-m", "gilcheck", "--settings", settings, "-c", code)

    def test_is_refused_where_it_is_no_time(self):
        for wrong in ("5", "ms", "-5ms", "1us", "nanms", "5 ms"):
            with self.subTest(wrong):
                outcome = self.run_command(STOCK, "-m", "gilcheck", f"--budget={wrong}", "-c", "")
                self.assertEqual(outcome.code, 2)
                self.assertRegex(
                    outcome.stderr,
                    rf"^gilcheck: (?:a budget is a time .*, such as 5ms, not '{wrong}'"
                    rf"|--budget is a time .*, such as 5ms .*, not '{wrong}'; .* the options)$",
                )


class BesideTheOthers(Measured):
    def test_all_that_there_is_goes_into_one_process(self):
        options = (
            *("-X", "gilcheck=deadlocks,budget=1s,statistics=figures.json"),
            *("-X", "giltrace=trace.json", "-X", "gilwatch=30"),
        )
        outcome = self.run_command(HOST, *options, "-c", PYTHON_CODE + "print('end')")
        self.assertEqual((outcome.code, outcome.stdout), (0, "end\n"), outcome)
        self.assertGreater(json.loads((self.folder / "figures.json").read_text())["takes"], 0)
        self.assertTrue((self.folder / "trace.json").exists())


class Statistics(Measured):
    def figures(self, code):
        """What each way has written to its file."""
        for way, outcome in self.every_way(code, "statistics=figures.json"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                yield json.loads((self.folder / "figures.json").read_text())

    def test_name_none_of_the_tools_own_functions(self):
        code = "import threading; one = threading.Thread(target=len, args=['']); one.start()"
        self.run_command(*(STOCK, "-m", "gilcheck", "--statistics", "figures.json", "-c", code))
        figures = json.loads((self.folder / "figures.json").read_text())
        names = [each["name"] for each in figures["functions"]]
        self.assertIn("(the tool's own functions)", names)
        self.assertEqual([each for each in names if re.search("name_threads|/gilcheck/", each)], [])

    def test_are_of_each_thread_and_function(self):
        code = textwrap.dedent("""
            import threading, time
            def doze():
                for _ in range(50): time.sleep(0)
            one = threading.Thread(target=doze)
            one.start()
            one.join()
            """)
        for figures in self.figures(code):
            threads = {each["name"]: each for each in figures["threads"]}
            functions = {each["name"].split(" ")[0]: each for each in figures["functions"]}
            self.assertGreaterEqual(max(each["takes"] for each in threads.values()), 50)
            self.assertGreaterEqual(functions["doze"]["takes"], 50)
            for key in ("takes", "held", "contended", "waited"):
                self.assertAlmostEqual(figures[key], sum(each[key] for each in threads.values()), 6)

    def test_are_what_the_timeline_has_of_the_same_run(self):
        code = PYTHON_CODE + "compute()\n" * 10
        options = ("-X", "gilcheck=statistics=figures.json", "-X", "giltrace=trace.json")
        outcome = self.run_command(HOST, *options, "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        figures = json.loads((self.folder / "figures.json").read_text())
        events = json.loads((self.folder / "trace.json").read_text())["traceEvents"]
        holds = [each["dur"] * 1e-6 for each in events if each.get("cat") == "hold"]
        # Within 1% where the thread runs; between the two readings of the clock it may not.
        self.assertAlmostEqual(figures["held"] / sum(holds), 1, delta=0.1)
        self.assertAlmostEqual(figures["takes"] / len(holds), 1, delta=0.1)

    def test_can_be_asked_for(self):
        code = (
            "import gilcheck\n"
            "gilcheck.start('statistics=figures.txt')\n"
            "before = gilcheck.statistics()['takes']\n"
            "import time; time.sleep(0)\n"
            "print(gilcheck.statistics()['takes'] - before)"
        )
        outcome = self.run_command(STOCK, "-c", code)
        self.assertEqual((outcome.code, outcome.stdout), (0, "1\n"), outcome)
        self.assertRegex(
            (self.folder / "figures.txt").read_text(), r"^gilcheck: the GIL was taken \d+ times"
        )

    def test_are_refused_where_none_are_taken(self):
        outcome = self.run_command(STOCK, "-c", "import gilcheck; gilcheck.statistics()")
        self.assertIn("RuntimeError: gilcheck: no figures are taken", outcome.stderr)

    def test_of_a_child_are_in_a_file_of_its_own(self):
        code = "import os\nif os.fork() == 0: raise SystemExit\nos.wait()"
        outcome = self.run_command(
            STOCK, "-m", "gilcheck", "--statistics", "figures.prom", "-c", code
        )
        self.assertEqual(outcome.code, 0, outcome)
        files = sorted(each.name for each in self.folder.glob("figures.*"))
        self.assertEqual(len(files), 2)
        self.assertRegex(files[0], r"^figures\.\d+\.prom$")
        for each in files:
            self.assertRegex(
                (self.folder / each).read_text(),
                r'(?m)^python_gil_thread_takes_total\{thread=".+"\} \d+$',
            )

    def test_that_cannot_be_written_say_so(self):
        begin = (STOCK, "-m", "gilcheck", "--statistics")
        outcome = self.run_command(*begin, "/no/where.txt", "-c", "print('end')")
        self.assertEqual((outcome.code, outcome.stdout), (2, ""))
        self.assertRegex(
            outcome.stderr,
            r"^gilcheck: the file of the statistics '/no/where\.txt' cannot be written: No such ",
        )
        (self.folder / "gone").mkdir()
        code = "import shutil; shutil.rmtree('gone'); print('end')"
        outcome = self.run_command(*begin, "gone/figures.txt", "-c", code)
        self.assertEqual(outcome.stdout, "end\n")
        self.assertRegex(
            outcome.stderr,
            r"^gilcheck: the figures of the GIL cannot be written to .*/gone/figures\.txt: No such",
        )

    def test_go_where_they_should_if_the_program_changes_its_folder(self):
        begin = (STOCK, "-m", "gilcheck", "--statistics", "figures.txt")
        self.assertEqual(self.run_command(*begin, "-c", "import os; os.chdir('/')").code, 0)
        self.assertIn("MainThread", (self.folder / "figures.txt").read_text())

    def test_are_refused_where_the_files_ending_is_unknown(self):
        outcome = self.run_command(STOCK, "-m", "gilcheck", "--statistics", "figures", "-c", "")
        self.assertEqual(outcome.code, 2)
        self.assertRegex(outcome.stderr, r"ends in \.txt, \.json or \.prom, not as 'figures'$")


if __name__ == "__main__":
    unittest.main()
