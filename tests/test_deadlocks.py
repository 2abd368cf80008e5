"""Deadlocks, foretold: under the stock interpreter, in the host, and preloaded."""

import json
import os
import re
import signal
import textwrap
import unittest
from pathlib import Path

from host import HOST, STOCK, WITHOUT_GIL, InFolder, environment, finish, start

MODULES = Path(os.environ["MODULES_FOLDER"]) / "lock_orders"
PACKAGES = os.environ["PYTHON_PACKAGES"]
LIBRARY = str(Path(PACKAGES) / "gilcheck" / "libgilcheck.so")

GIL = "the GIL"
# What is found of each kind: of each of its threads what it holds, and the user's function in
# which it wants the next one's lock.
ORDERS = {
    "mutex": [(GIL, "look_into"), ("mutex", "gil::gil")],
    "recursive": [(GIL, "look_into"), ("mutex", "gil::gil")],
    "timed": [(GIL, "look_into"), ("mutex", "gil::gil")],
    "shared": [(GIL, "read_table"), ("reader-writer lock", "gil::gil")],
    "spin": [(GIL, "spin_lock::lock"), ("spin lock", "gil::gil")],
    "semaphore": [(GIL, "slot::lock"), ("semaphore", "gil::gil")],
    "tried": [(GIL, "look_into"), ("mutex", "gil::gil")],
    "late_release": [(GIL, "release_too_late|look_into"), ("mutex", "~no_gil|release_too_late")],
    "callback": [(GIL, "log_under_lock"), ("mutex", "log_under_lock")],
    "partial": [(GIL, "call_partial_under_lock"), ("mutex", "call_partial_under_lock")],
    "late_once": [(GIL, "load_once"), ("once flag", "gil::gil")],
    "three": [(GIL, "look_into"), ("mutex", "index_then_cache"), ("mutex", "gil::gil")],
    "native": [("mutex", "index_then_cache"), ("mutex", "cache_then_index")],
    "gate": [("mutex", "index_then_cache"), ("mutex", "cache_then_index")],
    "relock": [(GIL, "wait_a_moment"), ("mutex", "gil::gil")],
    "static": [(GIL, "python_static"), ("static object", "ask_python")],
    "once": [(GIL, "ask_once"), ("once flag", "ask_python")],
}
WAITS = {
    "join": ("join_with_gil", "join_worker"),
    "poller": ("join_with_gil", "join_poller"),
    "destructor": ("join_with_gil", "join_worker"),
    "condition": ("wait_with_gil", "wait_until_ready"),
    "event": ("wait_with_gil", "wait_until_done"),
    "future": ("wait_with_gil", "get_result"),
}
KINDS = (*ORDERS, *WAITS)


class Checked(InFolder):
    def run_command(self, *command, **variables):
        process = start(*command, cwd=self.folder, env=environment(**variables))
        return finish(process)

    def by_module(self, code, settings, binding="c"):
        """Under stock Python, by the package's command."""
        paths = {"PYTHONPATH": f"{PACKAGES}:{MODULES / binding}"}
        command = ("-m", "gilcheck", "--settings", settings, "-c", code)
        return self.run_command(STOCK, *command, **paths)

    def every_way(self, code, settings="deadlocks,json"):
        """(the way, its outcome) of each."""
        paths = {"PYTHONPATH": f"{PACKAGES}:{MODULES / 'c'}"}
        yield "module", self.by_module(code, settings)
        yield "host", self.run_command(HOST, "-X", f"gilcheck={settings}", "-c", code, **paths)
        preloaded = {"LD_PRELOAD": LIBRARY, "GILCHECK": settings, **paths}
        yield "preloaded", self.run_command(STOCK, "-c", code, **preloaded)

    def the_finding(self, outcome):
        self.assertEqual(outcome.code, 66, outcome)
        findings = [json.loads(line) for line in outcome.stderr.splitlines() if line[:1] == "{"]
        self.assertEqual(len(findings), 1, outcome)
        return findings[0]

    def assert_names(self, kind, finding):
        """What is held, and where it is wanted, in the user's own code."""
        self.assertFalse(finding["happens"])
        threads = finding["threads"]
        if kind in WAITS:
            what, where = WAITS[kind]
            self.assertEqual(finding["finding"], what)
            self.assertEqual(threads[1]["has_taken_it"], 1)
            self.assertLess(threads[1]["first_taken_before"], 60)
            self.assertRegex(threads[0]["at"], rf"^.*{where}\b.* at lock_orders\.hpp:\d+$")
            return
        self.assertEqual(finding["finding"], "lock_order")
        self.assertEqual(len(threads), len(ORDERS[kind]))
        for thread, (held, where) in zip(threads, ORDERS[kind], strict=True):
            self.assertIn(held, thread["holds"])
            self.assertRegex(thread["at"], rf"^.*(?:{where})\b.* at lock_orders\.hpp:\d+$")


class Foretold(Checked):
    """Each kind of deadlock, in a run in which nothing hangs; and nothing of its corrected twin."""

    def test_every_kind_in_every_way(self):
        for kind in KINDS:
            code = f"import lock_orders; lock_orders.{kind}_faulty(); print('end')"
            for way, outcome in self.every_way(code):
                with self.subTest(kind, way=way):
                    self.assertEqual(outcome.stdout, "end\n")
                    self.assert_names(kind, self.the_finding(outcome))

    def test_no_corrected_twin(self):
        for kind in KINDS:
            code = f"import lock_orders; lock_orders.{kind}_right(); print('end')"
            for way, outcome in self.every_way(code):
                with self.subTest(kind, way=way):
                    self.assertEqual(outcome.stdout, "end\n", outcome)
                    self.assert_corrected(kind, outcome)

    def assert_corrected(self, kind, outcome):
        if kind == "gate" and WITHOUT_GIL:  # attached threads do not take turns
            self.assert_names(kind, self.the_finding(outcome))
        else:
            self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)

    def assert_of_binding(self, binding):
        if not (MODULES / binding).exists():
            self.skipTest(f"{binding} was not there when the tests were built")
        for kind in KINDS:
            with self.subTest(kind):
                code = f"import lock_orders; lock_orders.{kind}_faulty()"
                outcome = self.by_module(code, "deadlocks,json", binding)
                self.assert_names(kind, self.the_finding(outcome))
                code = f"import lock_orders; lock_orders.{kind}_right()"
                outcome = self.by_module(code, "deadlocks,json", binding)
                self.assert_corrected(kind, outcome)

    def test_of_boost_python(self):
        self.assert_of_binding("boost")

    def test_of_pybind11(self):
        self.assert_of_binding("pybind11")

    def test_of_nanobind(self):
        self.assert_of_binding("nanobind")

    def test_that_of_sqlite(self):
        """A deadlock of CPython's own: one connection, two threads; here one after the other."""
        code = textwrap.dedent("""
            import sqlite3, threading, time
            connection = sqlite3.connect(":memory:", check_same_thread=False)
            connection.create_function("slow", 1, lambda n: n)
            connection.execute("create table t (n)")
            connection.execute("insert into t values (1)")
            def read(): connection.execute("select slow(n) from t").fetchall()
            def add(): connection.create_function("other", 1, abs)
            for work in read, add:
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
            """)
        outcome = self.by_module(code, "deadlocks,json")
        if "sqlite3" in outcome.stderr and "ModuleNotFoundError" in outcome.stderr:
            self.skipTest("this Python has no sqlite3")
        finding = self.the_finding(outcome)
        self.assertEqual(finding["finding"], "lock_order")
        self.assertIn("sqlite", json.dumps(finding["threads"]))


class Text(Checked):
    def test_begins_with_what_deadlocks_and_where(self):
        code = "import lock_orders; lock_orders.mutex_faulty()"
        outcome = self.by_module(code, "deadlocks")
        lines = outcome.stderr.splitlines()
        self.assertRegex(
            lines[0],
            r"^gilcheck: possible deadlock: .*look_into.* at lock_orders\.hpp:\d+ locks the mutex "
            r"lock_orders::of_cache with the GIL held, and .*gil::gil\(\) at lock_orders\.hpp:\d+ "
            r"takes the GIL with the mutex lock_orders::of_cache held$",
        )
        self.assertRegex(lines[-1], r"^  do +Release the GIL before you wait for the lock")
        self.assertEqual(len([line for line in lines if re.match(r"^    > #", line)]), 2)
        self.assertIn("in Python's <module> (<string>:1)", outcome.stderr)

    def test_of_a_wait_begins_with_it(self):
        code = "import lock_orders; lock_orders.condition_faulty()"
        outcome = self.by_module(code, "deadlocks")
        self.assertRegex(
            outcome.stderr,
            r"^gilcheck: possible deadlock: .*wait_until_ready\(\) at lock_orders\.hpp:\d+ waits "
            r"with the GIL held, and the thread that wakes it takes the GIL\n",
        )
        self.assertRegex(outcome.stderr, r"make_ready\(\) +at \S*lock_orders\.hpp:\d+")
        self.assertRegex(
            outcome.stderr, r"\n  has taken the GIL 1 time before, first [\d.e-]+ s ago, at\n"
        )

    def test_says_where_a_stack_is_longer_than_what_is_kept_of_it(self):
        outcome = self.by_module("import lock_orders; lock_orders.deep_faulty()", "deadlocks")
        self.assertEqual(outcome.code, 66, outcome)
        self.assertEqual(outcome.stderr.count("\u2026 the calls further out were not kept\n"), 1)
        outcome = self.by_module("import lock_orders; lock_orders.native_faulty()", "deadlocks")
        self.assertNotIn("were not kept", outcome.stderr)

    def test_says_each_place_once(self):
        code = "import lock_orders\nfor _ in range(20): lock_orders.mutex_faulty()"
        self.the_finding(self.by_module(code, "deadlocks,json"))

    def test_is_of_the_first_alone_if_wanted_once(self):
        code = "import lock_orders; lock_orders.mutex_faulty(); lock_orders.native_faulty()"
        self.the_finding(self.by_module(code, "deadlocks,once,json"))


class Documented(Checked):
    """The program of docs/hang.md, and its cure."""

    PAGE = Path(__file__).resolve().parent.parent / "docs"

    def of(self, program):
        folder = MODULES.parent / "hang" / program
        if not folder.exists():
            self.skipTest("pybind11 was not there when the tests were built")
        command = ("-m", "gilcheck", "--deadlocks", str(self.PAGE / "hang" / "script.py"))
        return self.run_command(STOCK, *command, PYTHONPATH=f"{PACKAGES}:{folder}")

    def test_is_reported_as_it_is_shown(self):
        outcome = self.of("telemetry")
        self.assertEqual((outcome.code, outcome.stdout), (66, "True\n"), outcome)
        shown = re.search("(?m)^gilcheck: .*$", (self.PAGE / "hang.md").read_text())
        lines = [re.findall(r"telemetry\.cpp:\d+", each) for each in (outcome.stderr, shown[0])]
        self.assertEqual(lines[0][:2], lines[1])

    def test_is_cured(self):
        outcome = self.of("cured")
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "True\n", ""))


class Happens(Checked):
    """A deadlock that is there is told at once, by the process that hangs."""

    def assert_told(self, code, expected, settings="deadlocks", kind="lines"):
        folder = str(MODULES.parent / "hangs" / kind)
        code = f"import sys; sys.path.append({folder!r})\n{code}"
        paths = {"PYTHONPATH": PACKAGES}
        command = ("-m", "gilcheck", "--settings", settings, "-c", code)
        process = start(STOCK, *command, cwd=self.folder, env=environment(**paths))
        try:
            self.assertRegex(process.stderr.readline().decode().rstrip(), expected)
        finally:
            process.kill()
            process.communicate()

    def test_of_a_join(self):
        self.assert_told(
            "import hangs; hangs.join()",
            r"^gilcheck: deadlock: hangs::(?:pool::~pool|destroy_the_pool)\(\) at hangs\.hpp:\d+ "
            r"joins a thread with the GIL held, and that thread waits for the GIL$",
        )

    def test_of_a_join_that_was_possible_before(self):
        """A baseline has the possible one; the other is told of all the same."""
        folder = str(MODULES / "c")
        code = (
            f"import sys; sys.path[:0] = [{folder!r}]; import lock_orders; lock_orders.join_hangs()"
        )
        possible = "^gilcheck: possible deadlock: .* that thread takes the GIL$"
        happens = "^gilcheck: deadlock: .* that thread waits for the GIL$"
        for settings, expected in (
            ("deadlocks", (possible, happens)),
            ("deadlocks,write-baseline=known", (happens,)),
        ):
            command = (STOCK, "-m", "gilcheck", "--settings", settings, "-c", code)
            process = start(*command, cwd=self.folder, env=environment(PYTHONPATH=PACKAGES))
            try:
                lines = (line.decode() for line in process.stderr)
                for each in expected:
                    told = next(line for line in lines if line.startswith("gilcheck: "))
                    self.assertRegex(told, each)
            finally:
                process.kill()
                process.communicate()

    def test_of_a_join_that_is_the_last_thing_its_function_does(self):
        """Compilers make a jump of such a call, and the function is on no stack."""
        self.assert_told(
            "import hangs; hangs.join_last()",
            r"^gilcheck: deadlock: (?:a function of hangs\.so, called by Python's <module> "
            r"\(<string>:2\),|hangs::join_last\(\) at hangs\.hpp:\d+) joins a thread with the GIL "
            r"held, and that thread waits for the GIL$",
            kind="boost",
        )

    def test_of_a_mutex(self):
        self.assert_told(
            "import hangs; hangs.mutex()",
            r"^gilcheck: deadlock: .*look_into_cache\(\) at hangs\.hpp:\d+ waits for the mutex"
            r" .* with the GIL held, and .*append_to_log\(\) at .*waits for the GIL with the mutex",
        )

    def test_of_one_that_was_held_to_be_none(self):
        """A suppression is of what may happen."""
        self.write("rules", "lock:of_the_cache  # cannot happen\n")
        self.assert_told(
            "import hangs; hangs.mutex()",
            r"^gilcheck: deadlock: .*look_into_cache\(\)",
            "deadlocks,suppressions=rules",
        )

    def test_of_a_static_initialiser(self):
        self.assert_told(
            "import hangs; hangs.once()",
            r"^gilcheck: deadlock: .* waits for the initialisation of the static object",
        )


class Settings(Checked):
    def test_of_calls_and_deadlocks_go_together(self):
        code = "import lock_orders; lock_orders.native_faulty()"
        self.the_finding(self.by_module(code, "warn,deadlocks,no-calls,json"))

    def test_without_either_are_refused(self):
        outcome = self.by_module("pass", "no-calls")
        self.assertEqual(outcome.code, 2)
        self.assertRegex(outcome.stderr, "no-calls needs deadlocks, a budget or statistics as well")

    def test_hold_also_for_a_process_that_ends_at_once(self):
        code = "import lock_orders, os; lock_orders.mutex_faulty(); os._exit(0)"
        for way, outcome in self.every_way(code):
            with self.subTest(way):
                self.assertEqual(outcome.stderr.count('"finding": "lock_order"'), 1, outcome)

    def test_hold_also_for_a_process_that_dies_of_a_fault(self):
        code = "import ctypes, lock_orders; lock_orders.mutex_faulty(); ctypes.string_at(0)"
        paths = {"PYTHONPATH": f"{PACKAGES}:{MODULES / 'c'}"}
        command = ("-m", "gilcheck", "--settings", "deadlocks,json", "-c", code)
        process = start(STOCK, *command, cwd=self.folder, env=environment(**paths))
        outcome = finish(process, aborts=True)
        self.assertEqual(outcome.code, -signal.SIGSEGV, outcome)
        self.assertEqual(outcome.stderr.count('"finding": "lock_order"'), 1, outcome)

    def test_are_also_for_a_child(self):
        code = textwrap.dedent("""
            import lock_orders, os
            child = os.fork()
            if child == 0:
                lock_orders.mutex_faulty()
            else:
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            """)
        for way, outcome in self.every_way(code):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stdout), (0, "66\n"), outcome)
                self.assertEqual(outcome.stderr.count('"finding": "lock_order"'), 1)


class NoMoreRoom(Checked):
    """It is said once, what is lost and what to do, and it is no finding."""

    CODE = (
        "import lock_orders, threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "for _ in range(2): lock_orders.orders_right()\n"
    )

    def test_is_a_note(self):
        outcome = self.by_module(self.CODE, "deadlocks")
        self.assertEqual(outcome.code, 0, outcome)
        self.assertRegex(
            outcome.stderr,
            r"^gilcheck: note: not every deadlock can be found from now on: 65,000 orders of two "
            r"locks are kept, and the oldest make room; .*\. Run parts of the program one at a "
            r"time.*\n$",
        )

    def test_is_a_note_in_json(self):
        code = self.CODE + "lock_orders.many_held_right()"
        for way, outcome in self.every_way(code):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                notes = [json.loads(line) for line in outcome.stderr.splitlines()]
                self.assertEqual({each["note"] for each in notes}, {"no_more_room"})
                self.assertEqual([each["of"] for each in notes], ["orders", "held_locks"])


class LeftOut(Checked):
    """What is known is not reported, by its functions or its locks."""

    CODE = "import lock_orders; lock_orders.mutex_faulty(); lock_orders.native_faulty()"

    def test_by_a_suppression(self):
        for rule, count in (
            ("lock:of_cache", 0),  # which is of both
            ("lock:of_index$", 1),
            ("function:cache_then_index()", 1),
            ("function:touch_python()", 2),  # is on no stack: nothing waits there
            ("file:lock_orders.hpp", 0),
            ("file:lock_orders.so", 0),
        ):
            self.write("rules", f"{rule}  # not ours\n")
            for way, outcome in self.every_way(self.CODE, "deadlocks,json,suppressions=rules"):
                with self.subTest(rule, way=way):
                    self.assertEqual(outcome.stderr.count('"finding"'), count, outcome)
                    self.assertEqual(outcome.code, 66 if count else 0)

    def test_by_a_baseline_that_is_the_same_in_each_run(self):
        """What another one knows is reported."""
        for kind in KINDS:
            known = []
            code = f"import lock_orders; lock_orders.{kind}_faulty()"
            for run in ("first", "second"):
                outcome = self.by_module(code, f"deadlocks,write-baseline={kind}.{run}")
                self.assertEqual((outcome.code, outcome.stderr), (0, ""))
                known.append((self.folder / f"{kind}.{run}").read_text())
            with self.subTest(kind):
                self.assertEqual(known[0], known[1])
                self.assertIn('"module": "lock_orders.so"', known[0])
                self.assertNotRegex(known[0], r"0x|hpp|clone")
        for kind, other in (("mutex", "native"), ("join", "future")):
            code = f"import lock_orders; lock_orders.{kind}_faulty()"
            for way, outcome in self.every_way(code, f"deadlocks,json,baseline={kind}.first"):
                with self.subTest(kind, way=way):
                    self.assertEqual((outcome.code, outcome.stderr), (0, ""))
            self.the_finding(self.by_module(code, f"deadlocks,json,baseline={other}.first"))

    def test_by_either_the_log_has_the_rest(self):
        self.write("rules", "lock:of_index  # not ours\n")
        settings = "deadlocks,json,suppressions=rules,log=log"
        for way, outcome in self.every_way(self.CODE, settings):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stderr), (66, ""))
                (line,) = (self.folder / "log").read_text().splitlines()
                self.assertEqual(json.loads(line)["finding"], "lock_order")
                (self.folder / "log").unlink()


class PythonLocks(Checked):
    """threading.Lock and RLock, beside others and each other."""

    SETTINGS = "deadlocks,python-locks,json"
    BEGIN = """
        import lock_orders, threading
        lock, other = threading.Lock(), threading.RLock()

        def elsewhere(*works):
            for work in works:
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
        """

    def run_all(self, code, settings=SETTINGS):
        return self.every_way(textwrap.dedent(self.BEGIN) + textwrap.dedent(code), settings)

    TWO_ORDERS = """
        def one():
            with lock, other: pass
        def two():
            with other:
                lock.acquire(True)
                lock.release()
        elsewhere(one, two)
        """

    def test_in_two_orders(self):
        for way, outcome in self.run_all(self.TWO_ORDERS):
            with self.subTest(way):
                finding = self.the_finding(outcome)
                self.assertEqual(finding["finding"], "lock_order")
                for thread in finding["threads"]:
                    taken = r"the Python lock first taken in one \(<string>:\d+\)"
                    self.assertRegex(thread["holds"], taken)
                    self.assertRegex(thread["wants"], taken)
                    self.assertRegex(thread["python"], r"^(one|two) ")

    def test_that_nobody_has_released_yet(self):
        """Each is held for the first time, and for ever."""
        code = """
            import time
            first, second = threading.Lock(), threading.Lock()
            both = threading.Barrier(2)
            def two(one, other):
                with one:
                    both.wait()
                    with other: pass
            threading.Thread(target=two, args=(first, second), daemon=True).start()
            two(second, first)
            """
        text = textwrap.dedent(self.BEGIN) + textwrap.dedent(code)
        paths = {"PYTHONPATH": f"{PACKAGES}:{MODULES / 'c'}"}
        command = ("-m", "gilcheck", "--settings", self.SETTINGS, "-c", text)
        process = start(STOCK, *command, cwd=self.folder, env=environment(**paths))
        try:
            finding = json.loads(process.stderr.readline())
        finally:
            process.kill()
            process.communicate()
        self.assertEqual((finding["finding"], finding["happens"]), ("lock_order", True))

    def test_are_not_watched_unless_it_is_wanted(self):
        for way, outcome in self.run_all(self.TWO_ORDERS, "deadlocks,json"):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)

    def test_and_one_of_c(self):
        code = """
            def hook():
                with lock: pass
            def under_lock():
                with lock: lock_orders.lock_without_gil()
            elsewhere(lock_orders.hook_under_lock, under_lock)
            """
        for way, outcome in self.run_all(code):
            with self.subTest(way):
                sides = {
                    (side["holds"].split()[1], side["wants"].split()[1], side["python"].split()[0])
                    for side in self.the_finding(outcome)["threads"]
                }
                expected = {("Python", "mutex", "under_lock"), ("mutex", "Python", "hook")}
                self.assertEqual(sides, expected)

    def test_in_one_order_or_with_a_gate_or_for_a_moment(self):
        for code in (
            "def one():\n    with lock, other: pass\nelsewhere(one, one)",
            """
            gate = threading.Lock()
            def one():
                with gate, lock, other: pass
            def two():
                with gate, other, lock: pass
            elsewhere(one, two)
            """,
            """
            def one():
                with lock, other: pass
            def two():
                with other:
                    for taken in lock.acquire(timeout=1), lock.acquire(False):
                        if taken: lock.release()
            elsewhere(one, two)
            """,
        ):
            for way, outcome in self.run_all(code):
                with self.subTest(code, way=way):
                    self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)

    def test_that_are_events(self):
        """One thread takes it, another gives it back: threading's own are such, too."""
        code = """
            import queue
            from concurrent.futures import ThreadPoolExecutor
            ping, pong = threading.Lock(), threading.Lock()
            ping.acquire()
            pong.acquire()
            def answer():
                ping.acquire()
                pong.release()
            def ask():
                ping.release()
                pong.acquire()
            for _ in range(3):
                thread = threading.Thread(target=answer)
                thread.start()
                ask()
                thread.join()
            def ask_back():
                with other: pong.release()
                ping.acquire()
            thread = threading.Thread(target=ask_back)
            thread.start()
            pong.acquire()
            with other: ping.release()
            thread.join()
            items, changed, done = queue.Queue(2), threading.Condition(), threading.Event()
            def produce():
                for each in range(100): items.put(each)
                done.set()
                with changed: changed.notify_all()
            thread = threading.Thread(target=produce)
            thread.start()
            for _ in range(100): items.get()
            with changed: changed.wait_for(done.is_set)
            thread.join()
            with ThreadPoolExecutor(4) as pool: list(pool.map(abs, range(100)))
            """
        for way, outcome in self.run_all(code):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)

    def test_that_deadlock_are_told(self):
        code = """
            import os, sys, time
            both = threading.Barrier(2)
            def one():
                with lock:
                    both.wait()
                    with other: pass
            def two():
                with other:
                    both.wait()
                    with lock: pass
            elsewhere(lambda: [lock.acquire(), lock.release()])
            elsewhere(lambda: [other.acquire(), other.release()])
            for work in one, two: threading.Thread(target=work, daemon=True).start()
            while b"gilcheck: deadlock: " not in open("log", "rb").read(): time.sleep(0.01)
            os._exit(0)
            """
        for way, outcome in self.run_all(code, "deadlocks,python-locks,log=log"):
            with self.subTest(way):
                (head,) = (
                    line
                    for line in (self.folder / "log").read_text().splitlines()
                    if line.startswith("gilcheck")
                )
                self.assertRegex(head, "^gilcheck: deadlock: Python's (one|two) .* waits for the P")
                self.assertEqual((outcome.stdout, outcome.stderr), ("", ""))
                (self.folder / "log").unlink()

    def test_are_refused_without_deadlocks(self):
        outcome = self.by_module("pass", "python-locks")
        self.assertEqual(outcome.code, 2, outcome)
        self.assertIn("python-locks goes with deadlocks: give both", outcome.stderr)


class Locks(Checked):
    """What a program may do with its locks is no deadlock."""

    def assert_silent(self, code):
        for way, outcome in self.every_way(code):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)

    def test_taken_before_there_are_threads(self):
        """The budget's own thread is none of the program's."""
        looks = "import lock_orders as m\nm.look_with_gil()\nm.notify_elsewhere()\n"
        both = ("deadlocks,json", "deadlocks,json,budget=60s")
        for settings in both[:1] if WITHOUT_GIL else both:  # without a GIL a budget is refused
            for way, outcome in self.every_way(looks, settings):
                with self.subTest(settings, way=way):
                    self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)
            for way, outcome in self.every_way(f"{looks}m.look_with_gil()", settings):
                with self.subTest(settings, way=way):
                    places = [each["python"] for each in self.the_finding(outcome)["threads"]]
                    self.assertEqual(places, ["<module> (<string>:4)", ""])

    def test_held_while_python_gives_memory(self):
        self.assert_silent("import lock_orders; lock_orders.memory_under_lock()")

    def test_held_over_a_fork(self):
        self.assert_silent(
            "import lock_orders, os, threading, warnings\n"
            "warnings.simplefilter('ignore')\n"
            "threading.Thread(target=lock_orders.recursive_right).start()\n"
            "if os.fork() == 0: lock_orders.shared_right(); os._exit(0)\n"  # of other locks
            "os.wait()"
        )

    def test_of_an_allocator_that_locks(self):
        """As jemalloc: also where the tool itself allocates, and over fork()."""
        allocator = MODULES.parent / "locking_allocator.so"
        code = (
            "import lock_orders, os, threading, warnings\n"
            "warnings.simplefilter('ignore')\n"
            "for _ in range(20):\n"
            "    work = lambda: [bytes(n) for n in range(0, 10000, 100)]\n"
            "    all = [threading.Thread(target=work) for _ in range(4)]\n"
            "    for each in all: each.start()\n"
            "    if os.fork() == 0: os._exit(0)\n"
            "    os.wait()\n"
            "    for each in all: each.join()\n"
            "lock_orders.forks_right()\n"
            "lock_orders.three_right()\n"
        )
        paths = {"PYTHONPATH": f"{PACKAGES}:{MODULES / 'c'}"}
        for preloaded in (f"{allocator}", f"{allocator} {LIBRARY}", f"{LIBRARY} {allocator}"):
            with self.subTest(preloaded):
                command = ("-c", code)
                if LIBRARY not in preloaded:
                    command = ("-m", "gilcheck", "--deadlocks", *command)
                variables = {"LD_PRELOAD": preloaded, "GILCHECK": "deadlocks", **paths}
                outcome = self.run_command(STOCK, *command, **variables)
                self.assertEqual((outcome.code, outcome.stderr), (0, ""), outcome)

    def test_in_a_signals_handler(self):
        """POSIX lets a handler post a semaphore, wherever it comes."""
        self.assert_silent("import lock_orders; lock_orders.signals_right()")

    def test_that_let_several_pass_or_are_another_at_the_same_place(self):
        for kind in ("permits", "reused_once", "reused_spin"):
            with self.subTest(kind):
                self.assert_silent(f"import lock_orders; lock_orders.{kind}_right()")

    def test_of_many_threads_that_come_and_go(self):
        # In gate_right() the GIL keeps two opposite orders apart.
        its = "native_right" if WITHOUT_GIL else "gate_right"
        self.assert_silent(
            "import lock_orders, threading\n"
            "for _ in range(30):\n"
            f"    all = [threading.Thread(target=lock_orders.{its}) for _ in range(10)]\n"
            "    for each in all: each.start()\n"
            "    for each in all: each.join()\n"
        )


if __name__ == "__main__":
    unittest.main()
