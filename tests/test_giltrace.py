"""The GIL timeline: under the stock interpreter, in the host, and from Python."""

import json
import math
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import textwrap
import unittest
from itertools import pairwise
from pathlib import Path

from host import HOST, STOCK, InFolder, environment, finish, run, start

PACKAGES = os.environ["PYTHON_PACKAGES"]
WORKLOADS = Path(__file__).resolve().parent / "stress" / "workloads"
BROWSER = shutil.which("chromium")
TOOLS = os.environ.get("HANDOFF_TOOLS", "")  # a Python that has what `make test-all` installs
PERFETTO = Path(__file__).with_name("perfetto.py")
BROWSED = Path(__file__).with_name("timeline_page.py")
BESIDE = 1 << 30  # what a thread's number is more than its own, in Chrome's format

# The main thread and one of Python's pass the GIL to and fro, and one sleeps most of the time.
TWO_BUSY_THREADS = """
import threading, time
turns = []
def spin():
    while len(turns) < 60:
        if threading.get_ident() not in turns[-1:]: turns.append(threading.get_ident())
def nap():
    for _ in range(10): time.sleep(0.01)
spinner = threading.Thread(target=spin, name="spinner")
threads = [spinner, threading.Thread(target=nap, name="napper")]
for each in threads: each.start()
spin()
for each in threads: each.join()
"""
# Threads that compute, sleep, release the GIL in C, and wait for each other.
ANY_PROGRAM = """
import random, threading, time, zlib
chosen = random.Random({seed})
lock = threading.Lock()
def with_lock():
    with lock: time.sleep(0.0005)
acts = [
    lambda: time.sleep(chosen.random() / 1000),
    lambda: sum(range(chosen.randrange(100_000))),
    lambda: zlib.compress(bytes(100_000)),
    with_lock,
]
def work():
    for _ in range(chosen.randrange(30)): chosen.choice(acts)()
for _ in range(3):
    threads = [threading.Thread(target=work) for _ in range(chosen.randrange(1, 8))]
    for each in threads: each.start()
    for each in threads: each.join()
"""
# usleep() with the GIL held: PyDLL does not release it. Prints for how long, in seconds. hold() is
# one hold, which begins just before and is named after it, as it ends there.
HELD_FOR_A_SECOND = """
import ctypes, time
usleep = ctypes.PyDLL(None).usleep
held = []
def hold():
    begin = time.monotonic()
    usleep(100_000)
    held.append(time.monotonic() - begin)
    time.sleep(0.02)
for _ in range(10):
    time.sleep(0)
    hold()
print(*held, flush=True)
"""
VERSION = "import sys; print('Python %d.%d' % sys.version_info[:2])"
KILLED = "\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


def microseconds(said):
    """Of a time as the page writes it; an empty one is 0."""
    number, unit = said.split() if said else (0, "s")
    return float(number) * {"ns": 1e-3, "µs": 1, "ms": 1e3, "s": 1e6}[unit]


class Lane:
    """One thread of a trace in Chrome's format: (begin, end, name), in microseconds."""

    def __init__(self, events, thread):
        own = [event for event in events if event.get("tid") == thread]
        self.thread = thread - BESIDE
        (self.name,) = (e["args"]["name"] for e in own if e["name"] == "thread_name")
        self.holds = self.intervals(own, "hold")
        self.waits = self.intervals(own, "wait")
        self.asks = [e["ts"] for e in own if e["ph"] == "i"]

    @staticmethod
    def intervals(events, kind):
        return sorted(
            (e["ts"], e["ts"] + e["dur"], e["name"]) for e in events if e.get("cat") == kind
        )


class Traced(InFolder):
    """Each test asks every way to trace a program."""

    def run_command(self, *command, **variables):
        variables.setdefault("PYTHONPATH", PACKAGES)
        process = start(*command, cwd=self.folder, env=environment(**variables))
        return finish(process, aborts=True)

    def traced(self, code, output="trace.json"):
        """(the way, its outcome) of each."""
        yield "module", self.run_command(STOCK, "-m", "giltrace", "-o", output, "-c", code)
        yield "host", self.run_command(HOST, "-X", f"giltrace={output}", "-c", code)

    def assert_told(self, code, expected):
        """On stderr, of the program `code`, in every way."""
        for way, outcome in self.traced(code):
            with self.subTest(way):
                self.assertRegex(outcome.stderr, expected)

    def lanes(self, output="trace.json"):
        """By the threads' names."""
        events = json.loads((self.folder / output).read_text())["traceEvents"]
        threads = sorted({event["tid"] for event in events if "tid" in event})
        lanes = [Lane(events, thread) for thread in threads]
        self.assert_consistent(lanes)
        return {re.sub(r"' \d+$", "", lane.name).lstrip("'"): lane for lane in lanes}

    def assert_held_as_said(self, outcome, output):
        """For as long as HELD_FOR_A_SECOND has measured, or longer: what it measures lies within,
        and on a busy machine the thread may be kept waiting at both ends of some."""
        (lane,) = self.lanes(output).values()
        long = [(end - begin) / 1e6 for begin, end, name in lane.holds if name.startswith("hold ")]
        measured = [float(each) for each in outcome.stdout.split()]
        ratios = [held / least for held, least in zip(long, measured, strict=True)]
        self.assertEqual(len(ratios), 10)
        self.assertAlmostEqual(min(ratios), 1, delta=0.02)

    def assert_consistent(self, lanes):
        """No two threads hold the GIL at once, and a wait is followed by a hold, or by nothing."""
        holds = sorted(hold for lane in lanes for hold in lane.holds)
        self.assertGreater(len(holds), 0)
        for (_, end, _), (begin, _, _) in pairwise(holds):
            self.assertLessEqual(end, begin + 0.0005)  # half a nanosecond: floats
        for lane in lanes:
            begins = {round(begin, 3) for begin, _, _ in lane.holds}
            for _, end, _ in lane.waits[:-1]:
                self.assertIn(round(end, 3), begins)


class Trace(Traced):
    def test_shows_who_holds_the_gil_and_who_waits(self):
        for way, outcome in self.traced(TWO_BUSY_THREADS):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                lanes = self.lanes()
                spinner = lanes["spinner"]
                self.assertGreater(len(spinner.holds), 10)
                self.assertGreater(len(spinner.waits), 5)
                self.assertGreater(len(spinner.asks), 5)
                self.assertIn("spin (<string>:4)", {name for _, _, name in spinner.holds})
                self.assertIn("nap (<string>:7)", {name for _, _, name in lanes["napper"].holds})

    def test_says_how_long_as_it_was(self):
        for way, outcome in self.traced(HELD_FOR_A_SECOND):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assert_held_as_said(outcome, "trace.json")

    def test_tells_of_each_thread_and_of_the_worst_waits(self):
        for way, outcome in self.traced(TWO_BUSY_THREADS):
            with self.subTest(way):
                self.assertIn(f"written to {self.folder}/trace.json", outcome.stderr)
                self.assertRegex(outcome.stderr, r"'spinner' \d+ +\d+ +[\d.e+]+ m?s")
                self.assertRegex(
                    outcome.stderr,
                    r"'(spinner|MainThread)' \d+ held it for .* most of it in spin \(<string>:4\)",
                )

    def test_of_a_native_thread_without_a_name_does_not_call_it_as_the_program(self):
        folder = str(Path(os.environ["MODULES_FOLDER"]) / "lock_orders" / "c")
        code = (
            f"import sys; sys.path[:0] = [{folder!r}]; import lock_orders; lock_orders.join_right()"
        )
        for way, outcome in self.traced(code):
            with self.subTest(way):
                self.assertRegex(outcome.stderr, r"\n'native thread' \d+ +\d+ ")
                self.assertRegex(outcome.stderr, r"\n'MainThread' \d+ +\d+ ")

    def test_begins_with_what_cost_most(self):
        code = LastSeconds.LONG_WAIT + "hold(); hold(); over.set(); thread.join()\n"
        self.assert_told(
            code,
            r"^giltrace: hold \(<string>:9\), ending in line 11, held the GIL for \d+ ms, "
            r"in 'MainThread' \d+, while 'waiter' \d+ waited for it "
            r"\(\d+ holds, the longest \d+ ms\)\nGIL of ",
        )
        self.assert_told("pass", "^giltrace: nobody waited for the GIL\nGIL of ")

    def test_says_how_to_see_calls_that_are_too_short_to_be_looked_at(self):
        calls = """
import ctypes, threading, time
def work():
    for _ in range(40): ctypes.PyDLL(None).usleep(7_000)
def wait():
    while not over.is_set(): time.sleep(0.0005)
over = threading.Event()
thread = threading.Thread(target=wait)
thread.start(); work(); over.set(); thread.join()
"""
        self.assert_told(
            calls,
            r"^giltrace: work \(<string>:3\),? .*held the GIL for .*\n"
            r"  do: most of these holds outlast Python's switch interval \(5 ms\), so .*: "
            r"--stack-after 0\.002 names native code in holds that short\nGIL of ",
        )

    def test_has_the_summary_in_each_output(self):
        for output in "trace.json", "trace.html", "trace.svg":
            for way, outcome in self.traced("pass", output):
                with self.subTest(way, output=output):
                    said = "giltrace: nobody waited for the GIL"
                    self.assertIn(said, (self.folder / output).read_text())
                    self.assertIn(said, outcome.stderr)

    def test_of_many_threads_is_written_in_little_time(self):
        """Each of 1000 waits for all the others: 10 s of a processor are more than enough, unless
        each wait is compared with each thread for each hold."""
        threads, rounds = 1000, 100
        waits, takes, drops = 1, 3, 4
        moments = (0, 0, 10**9, 10**9)  # one tick is a nanosecond
        header = struct.pack("8sIi4QI4x3Qi4xQ64s", b"giltrace", 3, 1, *moments, *[0] * 6, b"made")
        recording = bytearray(header.ljust(4096, b"\0"))
        for thread in range(threads):
            recording += struct.pack("IIIi16sQ24x", 1, 8192, thread + 1, 100 + thread, b"t", 0)
            for turn in range(rounds):
                begin = 10 + (turn * threads + thread) * 10
                for when, what in (begin, takes), (begin + 9, drops), (begin + 10, waits):
                    recording += struct.pack("QII", when, what, 0)
            recording += bytes(8192 - 64 - rounds * 48)
        (self.folder / "made.recording").write_bytes(recording)
        left = (STOCK, "-m", "giltrace", "-o", "trace.html", "--recording", "made.recording")
        outcome = self.run_command("sh", "-c", 'ulimit -t 10; exec "$@"', "sh", *left)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn(f"{threads} threads, {threads * rounds} holds", outcome.stderr)

    def test_of_a_part_of_a_program(self):
        code = (
            "import giltrace, threading\n"
            "def before(): pass\n"
            "def within(): pass\n"
            "def run(work): thread = threading.Thread(target=work, name=work.__name__);"
            " thread.start(); thread.join()\n"
            "run(before)\n"
            "for n in range(2):\n"
            "    with giltrace.record(f'trace{n}.json', summary=n == 1): run(within)\n"
            "run(before)\n"
        )
        outcome = self.run_command(STOCK, "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        for n in range(2):
            self.assertIn("within", self.lanes(f"trace{n}.json"))
            self.assertNotIn("before", self.lanes(f"trace{n}.json"))
        self.assertEqual(re.findall("written to .*(trace.*)", outcome.stderr), ["trace1.json"])

    def test_is_written_where_it_was_asked_for_whatever_the_program_does(self):
        for way, outcome in self.traced("import os; os.chdir('/')"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertEqual(len(self.lanes()), 1)
                (self.folder / "trace.json").unlink()
                self.assertEqual(list(self.folder.iterdir()), [])

    def test_leaves_errno_to_the_program(self):
        """listdir() sets it to zero, drops the GIL for readdir(), and looks at it after that."""
        code = "import os\nfor _ in range(20_000): os.listdir('.')"
        for way, outcome in self.traced(code):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)

    def test_of_a_part_names_threads_that_were_there_before(self):
        """But those that have a name of their own for the system."""
        code = (
            "import ctypes, giltrace, threading, time\n"
            "over, named = threading.Event(), threading.Barrier(3)\n"
            "def work(own=None):\n"
            "    if own: ctypes.CDLL(None).prctl(15, own)\n"
            "    named.wait()\n"
            "    while not over.is_set(): time.sleep(0)\n"
            "threads = [threading.Thread(target=work, name='early'),\n"
            "           threading.Thread(target=work, args=(b'its own',), name='other')]\n"
            "for each in threads: each.start()\n"
            "named.wait()\n"
            "with giltrace.record('trace.json'):\n"
            "    for _ in range(1000): time.sleep(0)\n"
            "over.set()\n"
            "for each in threads: each.join()\n"
        )
        outcome = self.run_command(STOCK, "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual(set(self.lanes()), {"MainThread", "early", "its own"})

    def test_of_a_part_that_begins_while_threads_wait(self):
        """They have been told of as waiting in the part before."""
        code = """
import giltrace, threading, time
over = threading.Event()
def spin():
    while not over.is_set(): sum(range(1000))
threads = [threading.Thread(target=spin, name="spinner") for _ in range(4)]
for each in threads: each.start()
for n in range(3):
    with giltrace.record(f"trace{n}.json"):
        end = time.monotonic() + 0.1
        while time.monotonic() < end: pass
over.set()
for each in threads: each.join()
"""
        outcome = self.run_command(STOCK, "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertNotIn("contradicts", outcome.stderr)
        for n in range(3):
            self.assertTrue(any(lane.waits for lane in self.lanes(f"trace{n}.json").values()))

    def test_of_any_program_contradicts_nothing(self):
        for seed in range(10):
            for way, outcome in self.traced(ANY_PROGRAM.format(seed=seed)):
                with self.subTest(way, seed=seed):
                    self.assertEqual(outcome.code, 0, outcome)
                    self.assertNotIn("contradicts", outcome.stderr)
                    self.assertGreater(len(self.lanes()), 1)

    def test_of_real_programs_contradicts_nothing(self):
        """`make falsealarms` has more of them."""
        for name in ("ctypes_callbacks", "daemons", "fork", "subinterpreters"):
            for way, outcome in self.traced((WORKLOADS / f"{name}.py").read_text()):
                with self.subTest(way, name=name):
                    self.assertEqual(outcome.code, 0, outcome)
                    self.assertNotIn("contradicts", outcome.stderr)
                    self.assertGreater(len(self.lanes()), 1)
            for trace in self.folder.glob("trace*.json"):
                told = json.loads(trace.read_text())["otherData"]
                self.assertEqual(told["contradiction"], "")

    def test_of_a_thread_that_is_called_as_the_tool_is(self):
        """As a native one is, of a process that was begun by the command `giltrace`."""
        for name in ("giltrace", "spinner"):
            code = TWO_BUSY_THREADS.replace("spinner", name)
            outcome = self.run_command(STOCK, "-m", "giltrace", "-o", "trace.json", "-c", code)
            with self.subTest(name):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertRegex(outcome.stderr, rf"(?m)^'{name}' \d+ ")  # its row of the table

    def test_of_both_tools_at_once(self):
        code = "import gilcheck; gilcheck.start()\n" + TWO_BUSY_THREADS
        outcome = self.run_command(STOCK, "-m", "giltrace", "-o", "trace.json", "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn("spinner", self.lanes())
        both = ("-X", "gilcheck", "-X", "giltrace=trace.json")
        outcome = self.run_command(HOST, *both, "-c", TWO_BUSY_THREADS)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn("spinner", self.lanes())

    def test_of_foos_thread(self):
        code = "from Foo import Foo\nf = Foo(0.001, None)\nf.start()\nf.wait(100)\nf.stop()"
        outcome = self.run_command(HOST, "-X", "giltrace=trace.json", "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn("Foo delivers", {name for _, _, name in self.lanes()["Foo"].holds})


@unittest.skipIf(BROWSER is None or not TOOLS, "needs Chromium, and `make test-all`")
class InOtherTools(Traced):
    def perfetto(self, trace, sql):
        """The rows that Perfetto's trace processor answers."""
        outcome = self.run_command(TOOLS, PERFETTO, BROWSER, self.folder / trace, sql)
        self.assertEqual(outcome.code, 0, outcome)
        return json.loads(outcome.stdout)

    def test_perfettos_trace_processor_reads_the_same_holds_and_waits(self):
        outcome = self.run_command(
            STOCK, "-m", "giltrace", "-o", "trace.json", "-c", TWO_BUSY_THREADS
        )
        self.assertEqual(outcome.code, 0, outcome)
        rows = self.perfetto(
            "trace.json",
            "select thread.name, category, count(*), sum(dur) / 1e9"
            " from slice join thread_track on track_id = thread_track.id join thread using (utid)"
            " where category is not null and dur > 0 group by 1, 2",
        )
        answered = {(name, kind): (count, seconds) for name, kind, count, seconds in rows}
        for lane in self.lanes().values():
            for kind, shapes in (("hold", lane.holds), ("wait", lane.waits)):
                count, seconds = answered.pop((lane.name, kind))
                self.assertEqual(count, len(shapes))
                self.assertAlmostEqual(
                    seconds, sum(end - begin for begin, end, _ in shapes) / 1e6, 4
                )
        self.assertEqual(answered, {})

    def test_viztracers_functions_are_at_the_same_times(self):
        (self.folder / "program.py").write_text(
            "import ctypes, giltrace\n"
            "usleep = ctypes.PyDLL(None).usleep\n"
            "def within(): usleep(100_000)\n"
            "with giltrace.record('trace.json'): within()\n"
        )
        viztracer = (TOOLS, "-m", "viztracer")
        for arguments in (
            ("-o", "functions.json", "program.py"),
            ("--combine", "trace.json", "functions.json", "-o", "both.json"),
        ):
            outcome = self.run_command(*viztracer, *arguments)
            self.assertEqual(outcome.code, 0, outcome)
        rows = self.perfetto("both.json", "select name, category, ts, ts + dur from slice")
        (function,) = ((b, e) for name, kind, b, e in rows if name.startswith("within "))
        (hold,) = ((b, e) for _, kind, b, e in rows if kind == "hold" and e - b > 50e6)
        self.assertLessEqual(hold[0], function[0])
        self.assertGreaterEqual(hold[1], function[1])


class Page(Traced):
    def test_names_each_thread(self):
        for way, outcome in self.traced(TWO_BUSY_THREADS, "trace.html"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                page = (self.folder / "trace.html").read_text()
                self.assertNotRegex(page, r"(src|href)=")
                data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
                names = [lane["name"] for lane in data["lanes"]]
                self.assertIn("spinner", names)
                self.assertIn("napper", names)

    @unittest.skipIf(BROWSER is None, "there is no chromium to open it")
    def test_in_a_browser(self):
        code = TWO_BUSY_THREADS
        outcome = self.run_command(STOCK, "-m", "giltrace", "-o", "trace.html", "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        quiet = ("--no-first-run", "--disable-background-networking", "--disable-sync")
        shown = self.run_command(
            BROWSER,
            *("--headless", "--no-sandbox", "--disable-gpu", *quiet),
            *(f"--user-data-dir={self.folder}/browser", "--dump-dom"),
            (self.folder / "trace.html").as_uri(),
        ).stdout
        lanes = re.findall(r'class="lane" data-thread="\d+" data-name="(\w+)"', shown)
        self.assertEqual(sorted(lanes), ["MainThread", "napper", "spinner"])
        self.assertRegex(shown, r'id="lanes"[^>]* data-end="\d+"')  # it was drawn

    def page_and_trace(self, code):
        """Of one recording: a page's data, and the lanes."""
        self.run_command(STOCK, "-m", "giltrace", "-o", "killed.json", "-c", code + KILLED)
        for output in "trace.html", "trace.json":
            left = ("-o", output, "--recording", "killed.json.recording")
            self.assertEqual(self.run_command(STOCK, "-m", "giltrace", *left).code, 0)
        page = (self.folder / "trace.html").read_text()
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
        return data, self.lanes()

    def test_has_the_same_intervals_as_the_trace_and_the_causes_of_waits(self):
        data, lanes = self.page_and_trace(TWO_BUSY_THREADS)
        names = [each["name"] for each in data["activities"]]
        causes = set()
        for lane in data["lanes"]:
            traced = lanes[lane["name"]]
            packed, length = lane["holds"], len(traced.holds)
            self.assertEqual(len(packed), 3 * length)
            for (begin, end, name), took, number in zip(
                traced.holds, packed[1::3], packed[2::3], strict=True
            ):
                self.assertAlmostEqual(end - begin, took / 1e3, 2)
                self.assertEqual(name, names[number])
            packed = lane["waits"]
            for (begin, end, _), took, who, what in zip(
                traced.waits, packed[1::5], packed[3::5], packed[4::5], strict=True
            ):
                self.assertAlmostEqual(end - begin, took / 1e3, 2)
                if who > 0:
                    holder = lanes[data["lanes"][who - 1]["name"]]
                    meanwhile = {n for b, e, n in holder.holds if b < end and e > begin}
                    self.assertIn(names[what], meanwhile)
                    causes.add((lane["name"], data["lanes"][who - 1]["name"], names[what]))
        self.assertIn(("spinner", "MainThread", "spin (<string>:4)"), causes)
        self.assertEqual({each["kind"] for each in data["activities"]}, {"native", "function"})

    def test_tells_labels_from_functions(self):
        code = "from Foo import Foo\nf = Foo(0.001, None)\nf.start()\nf.wait(100)\nf.stop()"
        outcome = self.run_command(HOST, "-X", "giltrace=trace.html", "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        page = (self.folder / "trace.html").read_text()
        self.assertEqual(re.findall('"Foo delivers", "kind": "(.*?)"', page), ["label"])

    @unittest.skipIf(BROWSER is None or not TOOLS, "needs Chromium, and `make test-all`")
    def test_when_it_is_used(self):
        data, lanes = self.page_and_trace(TWO_BUSY_THREADS)
        outcome = self.run_command(TOOLS, BROWSED, BROWSER, self.folder / "trace.html")
        self.assertEqual(outcome.code, 0, outcome)
        told = json.loads(outcome.stdout)
        self.assertEqual(told["errors"], [])
        duration = data["duration"]
        waits = [
            (end - begin, name) for name, lane in lanes.items() for begin, end, _ in lane.waits
        ]

        opened = told["opened"]
        self.assertEqual(opened["view"], [0, duration])
        _, (thread, *_), *_ = opened["tables"]["Worst waits"]
        longest, name = max(waits)
        self.assertRegex(thread, rf"{name} \d+")
        title, *rows = opened["tables"]["Waits by cause"]
        self.assertEqual(title, ["held meanwhile", "kind", "waits", "total", "longest"])
        self.assertEqual(sum(int(row[2].replace(",", "")) for row in rows), len(waits))
        self.assertTrue(any(row[0] == "spin (<string>:4)" for row in rows))
        holds = {row[0]: row[2] for row in opened["tables"]["Holds by function and label"]}
        spins = sum(n == "spin (<string>:4)" for lane in lanes.values() for _, _, n in lane.holds)
        self.assertEqual(holds["spin (<string>:4)"], f"{spins:,}")
        title, *rows = opened["tables"]["Threads"]
        self.assertEqual(title[8:], ["p50", "p90", "p99", "longest wait"])
        self.assertEqual(len(rows), len(lanes))
        for row in rows:
            its = sorted(end - begin for begin, end, _ in lanes[row[0].split()[0]].waits)
            for percent, said in zip((50, 90, 99, 100), row[8:], strict=True):
                at_most = its[max(math.ceil(len(its) * percent / 100) - 1, 0)] if its else 0
                self.assertAlmostEqual(microseconds(said), at_most, delta=at_most / 500)

        begin, end = told["worst wait"]["view"]
        self.assertAlmostEqual((end - begin) / 1e3, min(3 * longest, duration / 1e3), delta=1)
        self.assertRegex(
            told["worst wait"]["picked"], rf"^{name} \d+ waits for the GIL .*Meanwhile:\n"
        )
        self.assertRegex(told["worst wait"]["title"], "of what is in view: ")
        self.assertRegex(told["selected"]["title"], "of the selected range: ")
        begin, end = told["zoomed"]["view"]
        self.assertAlmostEqual((end - begin) / duration, 0.25, delta=0.01)
        self.assertEqual(told["searched"]["found"], f"{spins:,} holds")
        self.assertEqual(len(told["searched"]["tables"]["Holds by function and label"]), 2)
        self.assertRegex(told["match"]["picked"], r"^spin \(<string>:4\)\n.* holds the GIL")
        second = data["lanes"][1]
        self.assertIn(f"{second['name']} {second['thread']} ", told["stepped"]["picked"])
        begin, end = told["moved"]["view"]
        self.assertAlmostEqual((end - begin) / duration, 0.5, delta=0.01)
        self.assertAlmostEqual(begin / duration, 0.375, delta=0.01)
        for scheme in "light", "dark":
            self.assertLessEqual(told[scheme]["width"], 400)
        for each in "background", "text", "hold":
            self.assertNotEqual(told["light"][each], told["dark"][each])

    def test_that_is_a_picture(self):
        for way, outcome in self.traced(TWO_BUSY_THREADS, "trace.svg"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertIn(">spinner ", (self.folder / "trace.svg").read_text())


class NativeCode(Traced):
    """Holds of module long_holds', while a thread of Python's waits for the GIL."""

    LONG_HOLD = """
import sys, threading
sys.path.insert(0, {folder!r})
import long_holds
over, waits = threading.Event(), threading.Event()
def poll():
    while not over.wait(0.002): waits.set()
thread = threading.Thread(target=poll, name="waiter")
thread.start()
waits.wait()
def call():
    held = long_holds.{name}()
    print(held)
call()
over.set()
thread.join()
"""

    def code(self, name, kind="lines"):
        folder = str(Path(os.environ["MODULES_FOLDER"]) / "long_holds" / kind)
        return self.LONG_HOLD.format(folder=folder, name=name)

    def longest_hold(self, thread):
        """How long, in microseconds, and what it is called."""
        return max((end - begin, name) for begin, end, name in self.lanes()[thread].holds)

    def test_that_is_not_known_is_not_called_the_users(self):
        """Python threads that are shorter than the switch interval end in no Python function."""
        code = (
            "import threading, time\n"
            "def work():\n"
            "    until = time.thread_time() + .003\n"
            "    while time.thread_time() < until: pass\n"
            "for _ in range(30):\n"
            "    both = [threading.Thread(target=work) for _ in range(4)]\n"
            "    for each in both: each.start()\n"
            "    for each in both: each.join()\n"
        )
        for way, outcome in self.traced(code):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertNotIn("release the GIL around", outcome.stderr)

    def assert_named(self, name, thread, said, kind="lines"):
        answer = (
            rf"{said}.* held the GIL for \d+ ms at once, in '{thread}' \d+, while 'waiter' \d+ "
            r"waited for it\n  do: release the GIL around what does not touch Python"
        )
        for way, outcome in self.traced(self.code(name, kind)):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                took, named = self.longest_hold(thread)
                self.assertGreater(took, 300_000)
                self.assertRegex(named, said)
                blamed = rf"'waiter' \d+ at .*, while '{thread}' .* most of it in "
                self.assertRegex(outcome.stderr, blamed + said.lstrip("^"))
                self.assertRegex(outcome.stderr, "^giltrace: " + answer.lstrip("^"))

    def test_that_python_called_is_named(self):
        self.assert_named(
            "works",
            "MainThread",
            r"^simulate\(\) at long_holds\.cpp:\d+, called by call \(<string>:12\)",
        )

    def test_is_named_while_a_snapshot_is_written(self):
        """The first hold requests it; the second begins while it is written."""
        code = (
            self.code("works")
            .replace("    print(held)\n", "")
            .replace("\ncall()", "\ncall(); call()")
        )
        command = ("-m", "giltrace", "-o", "trace.json", "--when-wait-exceeds", "0.05", "-c", code)
        outcome = self.run_command(STOCK, *command)
        self.assertEqual(outcome.code, 0, outcome)
        longest = sorted(
            (end - begin, name) for begin, end, name in self.lanes()["MainThread"].holds
        )
        for took, named in longest[-2:]:
            self.assertGreater(took, 300_000)
            self.assertRegex(named, r"^simulate\(\) at long_holds\.cpp:\d+")

    def test_of_python_is_told_with_the_line_in_which_it_ended(self):
        code = self.code("dozes").replace(
            "long_holds.dozes()", "ctypes.PyDLL(None).usleep(400_000)"
        )
        self.assert_told(
            f"import ctypes\n{code.lstrip()}",
            r"^giltrace: call \(<string>:11\), ending in line 12, held the GIL for \d+ ms ",
        )

    def test_of_a_native_thread_is_named(self):
        self.assert_named("thread_works", "native", r"^simulate\(\) at long_holds\.cpp:\d+")

    def test_that_waits_in_a_system_call_is_named_and_not_interrupted(self):
        """While it sleeps: a signal would have ended the call."""
        called = r"^doze\(\) at long_holds\.cpp:\d+"
        self.assert_named("thread_dozes", "native", called)
        self.assert_named("dozes", "MainThread", rf"{called}, called by call \(<string>:12\)")
        without = r"^a function in long_holds\.so\+0x\w+, called by call"
        self.assert_named("dozes", "MainThread", without, "stripped")
        for name in "dozes", "thread_dozes":
            for way, outcome in self.traced(self.code(name)):
                with self.subTest(way, name=name):
                    self.assertGreaterEqual(float(outcome.stdout), 0.4)

    def test_of_a_thread_that_blocks_all_signals_is_not_known_and_goes_on(self):
        for way, outcome in self.traced(self.code("thread_blocks")):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertEqual(self.longest_hold("native")[1], "native code")
                self.assertRegex(
                    outcome.stderr, r"\nnative code: its stack is not known: it blocks signal \d+\n"
                )

    def test_without_lines_or_symbols_says_how_to_keep_them(self):
        for kind, named, hint in (
            ("names", r"^simulate\(\) in long_holds\.so, called by call", "compile it with -g"),
            ("stripped", r"^a function in long_holds\.so\+0x\w+, called by", "do not strip it"),
        ):
            with self.subTest(kind):
                self.assert_named("works", "MainThread", named, kind)
                outcome = self.run_command(
                    *(STOCK, "-m", "giltrace", "-o", "trace.html", "-c"), self.code("works", kind)
                )
                self.assertRegex(outcome.stderr, rf"\n.* long_holds\.so.*: .*{hint}")

    def test_is_of_one_function_wherever_in_it_the_thread_was(self):
        for kind, named in (
            ("lines", r"^simulate_in_turns\(\) at long_holds\.cpp:\d+, called by call "),
            ("stripped", r"^a function in long_holds\.so\+0x\w+, called by call "),
        ):
            code = self.code("works_in_turns", kind).replace(
                "\ncall()\n", "\ncall(); call(); call()\n"
            )
            for way, outcome in self.traced(code):
                with self.subTest(way, kind=kind):
                    self.assertEqual(outcome.code, 0, outcome)
                    holds = self.lanes()["MainThread"].holds
                    names = [name for begin, end, name in holds if end - begin > 300_000]
                    self.assertEqual(len(names), 3)
                    self.assertRegex(names[0], named)
                    self.assertEqual(set(names), {names[0]})

    def test_is_shown_with_its_stack(self):
        for output in "trace.json", "trace.html":
            code = self.code("thread_works")
            self.run_command(STOCK, "-m", "giltrace", "-o", output, "-c", code)
            self.assertRegex(
                (self.folder / output).read_text(),
                r'"stack": "[^"]*simulate\(\)  at [^"]*long_holds\.cpp:\d+  in [^"]*'
                r"compute_in_thread\(\)  at ",
            )

    def test_is_looked_up_while_other_threads_go_on(self):
        """An addr2line that waits for one of them, while stop() waits for its answer."""
        tool = self.folder / "bin" / "addr2line"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\ntouch asked\nwhile ! test -e go; do sleep 0.01; done\n")
        tool.chmod(0o755)
        code = (
            "import giltrace, os, time\ngiltrace.start('trace.json')\n"
            + self.code("works")
            + "\ndef answer():\n"
            "    while not os.path.exists('asked'): time.sleep(0.01)\n"
            "    open('go', 'w').close()\n"
            "thread = threading.Thread(target=answer)\n"
            "thread.start()\n"
            "giltrace.stop()\n"
            "thread.join()\n"
        )
        path = f"{tool.parent}:{os.environ['PATH']}"
        outcome = self.run_command(STOCK, "-c", code, PATH=path)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertTrue((self.folder / "go").exists())
        self.assertTrue((self.folder / "trace.json").exists())

    def test_is_named_in_a_recording_that_was_left(self):
        """By a process that hangs with the GIL held."""
        code = self.code("thread_works").replace(
            "\ncall()\n", "\ncall()\n" + KILLED.lstrip() + "\n"
        )
        killed = self.run_command(STOCK, "-m", "giltrace", "-o", "trace.json", "-c", code)
        self.assertEqual(killed.code, -signal.SIGKILL, killed)
        left = ("-o", "trace.json", "--recording", "trace.json.recording")
        outcome = self.run_command(STOCK, "-m", "giltrace", *left)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertRegex(self.longest_hold("native")[1], r"^simulate\(\) at long_holds\.cpp:\d+")

    def test_is_not_looked_at_if_it_is_short_or_not_wanted(self):
        """No thread begins for it, and no signal is taken."""
        code = (
            "\nimport glob"
            "\nprint([open(name).read() for name in glob.glob('/proc/self/task/*/comm')])"
        )
        for after in "0", "60":
            outcome = self.run_command(
                *(STOCK, "-m", "giltrace", "-o", "trace.json", "--stack-after", after, "-c"),
                self.code("thread_works") + code,
            )
            self.assertEqual(outcome.code, 0, outcome)
            self.assertNotIn("giltrace", outcome.stdout)
            self.assertEqual(self.longest_hold("native")[1], "native code")
        watched = self.run_command(
            STOCK, "-m", "giltrace", "-o", "trace.json", "-c", self.code("thread_works") + code
        )
        self.assertIn("giltrace", watched.stdout)

    def test_leaves_fork_with_one_thread(self):
        """From Python 3.12 on it warns of several."""
        code = self.code("thread_works") + (
            "\nimport os\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    thread = threading.Thread(target=poll, name='waiter')\n"
            "    over.clear(); thread.start(); call(); over.set(); thread.join(); sys.exit()\n"
            "print(os.waitpid(child, 0)[1], child)\n"
        )
        outcome = self.run_command(
            STOCK, "-W", "error", "-m", "giltrace", "-o", "trace.json", "-c", code
        )
        self.assertEqual(outcome.code, 0, outcome)
        status, child = outcome.stdout.split()[-2:]
        self.assertEqual(status, "0", outcome)
        for output in "trace.json", f"trace.{child}.json":
            self.assertIn("simulate() at long_holds.cpp", (self.folder / output).read_text())

    def test_is_not_looked_at_where_the_host_is_told_so(self):
        option = "giltrace=trace.json,stack-after=0"
        outcome = self.run_command(HOST, "-X", option, "-c", self.code("thread_works"))
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual(self.longest_hold("native")[1], "native code")

    def test_after_a_time_that_is_none_is_refused(self):
        for option in "stack-after=x", "stack-after", "stack_after=1", "stack-after=1,", "x=1":
            outcome = self.run_command(HOST, "-X", f"giltrace=trace.json,{option}", "-c", "pass")
            self.assertEqual(outcome.code, 2, outcome)
            self.assertIn(
                f"giltrace: does not know '{option.removeprefix('stack-after=1,')}'", outcome.stderr
            )
        outcome = self.run_command(
            *(STOCK, "-m", "giltrace", "-o", "trace.json", "--stack-after", "-1", "-c", "pass")
        )
        self.assertEqual(outcome.code, 2)
        self.assertIn("--stack-after: '-1' is not a number of seconds (0 or more)", outcome.stderr)


class LastSeconds(Traced):
    BUSY = """
import glob, os, threading, time
def pause(times):
    for _ in range(times): time.sleep(0)
early = threading.Thread(target=pause, args=(100,), name="early")
early.start()
early.join()
end, handoffs = time.monotonic() + 2, 0
while time.monotonic() < end:
    late = threading.Thread(target=pause, args=(1000,), name="late")
    late.start()
    late.join()
    handoffs += 1000
print(handoffs, *map(os.path.getsize, glob.glob("*.recording")))
"""
    # The main thread holds the GIL for 0.2 s while another waits.
    LONG_WAIT = """
import ctypes, threading, time
usleep = ctypes.PyDLL(None).usleep
over, waits = threading.Event(), threading.Event()
def poll():
    while not over.wait(0.002): waits.set()
thread = threading.Thread(target=poll, name="waiter")
thread.start()
def hold():
    waits.clear(); waits.wait()
    usleep(200_000)
"""

    def assert_the_last(self, lanes, seconds):
        moments = [time for lane in lanes.values() for hold in lane.holds for time in hold[:2]]
        self.assertLessEqual(max(moments) - min(moments), seconds * 1e6 + 1)

    def kept(self, last):
        """(the way, its outcome) of each."""
        wanted = ("-o", "trace.json", "--last", last)
        yield "module", self.run_command(STOCK, "-m", "giltrace", *wanted, "-c", self.BUSY)
        option = f"giltrace=trace.json,last={last}"
        yield "host", self.run_command(HOST, "-X", option, "-c", self.BUSY)

    def test_are_kept_in_a_file_that_does_not_grow(self):
        for way, outcome in self.kept("0.2"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertNotIn("contradicts", outcome.stderr)
                lanes = self.lanes()
                self.assertNotIn("early", lanes)
                self.assertIn("late", lanes)
                self.assert_the_last(lanes, 0.2)
                handoffs, *sizes = map(int, outcome.stdout.split())
                self.assertLess(
                    min(sizes), handoffs * 2 * 16 / 2
                )  # a take and a drop, 16 bytes each

    def test_are_all_if_there_are_no_more(self):
        for way, outcome in self.kept("60"):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                events = json.loads((self.folder / "trace.json").read_text())["traceEvents"]
                handoffs = int(outcome.stdout.split()[0])
                self.assertGreater(sum(each.get("cat") == "hold" for each in events), handoffs)

    def test_are_in_their_order_though_the_file_is_used_again_in_another(self):
        code = """
import threading, time
end = time.monotonic() + 3
def pause():
    while time.monotonic() < end: time.sleep(0)
threads = [threading.Thread(target=pause, name=f"pauses{n}") for n in range(2)]
for each in threads: each.start()
for each in threads: each.join()
"""
        wanted = ("-o", "trace.json", "--last", "0.3", "-c", code)
        outcome = self.run_command(STOCK, "-m", "giltrace", *wanted)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertNotIn("contradicts", outcome.stderr)
        for thread in "pauses0", "pauses1":
            events = json.loads((self.folder / "trace.json").read_text())["traceEvents"]
            own = self.lanes()[thread].thread + BESIDE
            begins = [
                each["ts"] for each in events if each.get("cat") == "hold" and each["tid"] == own
            ]
            self.assertEqual(begins, sorted(begins))

    def test_of_any_program_contradict_nothing(self):
        for seed in range(5):
            code = ANY_PROGRAM.format(seed=seed) * 3
            last = ("--last", "0.05", "--stack-after", "0.001")
            outcome = self.run_command(
                STOCK, "-m", "giltrace", "-o", "trace.json", *last, "-c", code
            )
            with self.subTest(seed=seed):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertNotIn("contradicts", outcome.stderr)
                self.assert_the_last(self.lanes(), 0.05)

    def test_are_read_from_what_a_killed_process_left(self):
        arguments = ("-o", "trace.json", "--last", "0.2", "-c", self.BUSY + KILLED)
        killed = self.run_command(STOCK, "-m", "giltrace", *arguments)
        self.assertEqual(killed.code, -signal.SIGKILL, killed)
        left = ("-o", "trace.json", "--recording", "trace.json.recording")
        self.assertEqual(self.run_command(STOCK, "-m", "giltrace", *left).code, 0)
        self.assert_the_last(self.lanes(), 0.2)

    def test_are_written_when_a_wait_was_long(self):
        """Once, as the time that is kept has not passed."""
        code = self.LONG_WAIT + "hold(); hold(); over.set(); thread.join()\n"
        (self.folder / "trace.snapshot1.json").write_text('{"otherData": {"contradiction": ""}}')
        (self.folder / "trace.snapshot2.json").write_text('{"otherData": {"contradiction": ""}}')
        wanted = ("-o", "trace.json", "--last", "60", "--when-wait-exceeds", "0.1")
        outcome = self.run_command(STOCK, "-m", "giltrace", *wanted, "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        said = re.findall("giltrace: a snapshot is written to (.*)", outcome.stderr)
        self.assertEqual(said, [f"{self.folder}/trace.snapshot1.json"])
        self.assertFalse((self.folder / "trace.snapshot2.json").exists())  # an earlier run's
        waits = [end - begin for begin, end, _ in self.lanes(said[0])["waiter"].waits]
        self.assertEqual(len([each for each in waits if each > 150_000]), 1)
        waits = [end - begin for begin, end, _ in self.lanes()["waiter"].waits]
        self.assertEqual(len([each for each in waits if each > 150_000]), 2)

    def test_are_not_written_when_no_wait_was_so_long(self):
        code = self.LONG_WAIT + "hold(); over.set(); thread.join()\n"
        wanted = ("-o", "trace.json", "--when-wait-exceeds", "30")
        outcome = self.run_command(STOCK, "-m", "giltrace", *wanted, "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual([each.name for each in self.folder.iterdir()], ["trace.json"])

    def test_are_written_when_a_wait_does_not_end(self):
        """The program hangs, with the GIL held, until its output is there."""
        script = self.LONG_WAIT + (
            "waits.clear(); waits.wait()\n"
            "native = ctypes.PyDLL(None)\n"
            "native.system(b'while ! test -s trace.snapshot1.json; do sleep 0.01; done')\n"
            "over.set()\n"
        )
        wanted = ("-o", "trace.json", "--when-wait-exceeds", "0.05")
        outcome = self.run_command(STOCK, "-m", "giltrace", *wanted, "-c", script)
        self.assertEqual(outcome.code, 0, outcome)
        events = (self.folder / "trace.snapshot1.json").read_text()
        self.assertIn('"name": "a hold that goes on"', events)

    def test_are_written_on_demand(self):
        code = self.LONG_WAIT + (
            "import giltrace, os\n"
            "giltrace.snapshot('mine.html')\n"
            "os.kill(os.getpid(), 12)\n"
            "while not os.path.exists('trace.snapshot1.html'): pass\n"
            "try: giltrace.snapshot('mine.txt')\n"
            "except RuntimeError as error: print(error)\n"
            "over.set(); thread.join()\n"
        )
        wanted = ("-o", "trace.html", "--signal", "12")
        outcome = self.run_command(STOCK, "-m", "giltrace", *wanted, "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn("'mine.txt'", outcome.stdout)
        for output in "mine.html", "trace.snapshot1.html", "trace.html":
            self.assertIn('"name": "waiter"', (self.folder / output).read_text())

    def test_are_refused_without_a_recording_or_with_a_time_that_is_none(self):
        code = "import giltrace; giltrace.start('trace.json', last=-1)"
        said = "last is a number of seconds, from 0 on, not -1"
        self.assertIn(said, self.run_command(STOCK, "-c", code).stderr)
        code = "import giltrace; giltrace.snapshot('mine.html')"
        self.assertIn("there is no recording", self.run_command(STOCK, "-c", code).stderr)
        for option, said in (
            (("--last", "0"), "--last: '0' is not a positive number of seconds"),
            (("--when-wait-exceeds", "nan"), "'nan' is not a positive number of seconds"),
            (("--signal", "9"), "signal 9 cannot be used: it cannot be handled"),
            (("--signal", "99"), "signal 99 cannot be used: it cannot be handled"),
            (("--signal", "0"), "--signal: 0 is not a signal: give one that can be handled"),
            (("--within", "3"), "--within goes with --pid: leave it out"),
            (("--seconds", "3"), "--seconds goes with --pid; --last keeps the last seconds"),
            (("-o", "none/t.svg"), "none/t.svg' (name a file in a folder that is there and may be"),
        ):
            wanted = ("-o", "trace.json", *option, "-c", "pass")
            outcome = self.run_command(STOCK, "-m", "giltrace", *wanted)
            self.assertEqual(outcome.code, 2, outcome)
            self.assertIn(said, outcome.stderr)


class ManyThreads(Traced):
    def test_that_start_and_stop_at_once_find_a_recording_or_are_refused(self):
        program = (
            "import re, threading, giltrace\n"
            "done, refused = [], set()\n"
            "def go(n):\n"
            "    for _ in range(50):\n"
            "        for call in (lambda: giltrace.start(f'{n}.json'),\n"
            "                     lambda: giltrace.stop(summary=False)):\n"
            "            try: call(); done.append(1)\n"
            "            except RuntimeError as error: refused.add(str(error))\n"
            "threads = [threading.Thread(target=go, args=(n,)) for n in range(4)]\n"
            "for each in threads: each.start()\n"
            "for each in threads: each.join()\n"
            "words = 'one at a time|there is no recording'\n"
            "print(bool(done), [each for each in refused if not re.search(words, each)])\n"
        )
        for _ in range(3):
            outcome = self.run_command(STOCK, "-c", program)
            self.assertEqual((outcome.code, outcome.stdout), (0, "True []\n"), outcome)


class ClosedDescriptors(Traced):
    def test_leave_the_recording_whole_and_the_programs_own_files_as_they_are(self):
        """Its own file has the recording's number after that, as in every daemon."""
        program = (
            "import os, threading, time\n"
            "os.closerange(3, 256)\n"
            "with open('mine.txt', 'w') as mine:\n"
            "    mine.write('precious'); mine.flush()\n"
            "    def work():\n"
            "        for _ in range(5000): time.sleep(0)\n"
            "    threads = [threading.Thread(target=work, name='busy') for _ in range(3)]\n"
            "    for each in threads: each.start()\n"
            "    for each in threads: each.join()\n"
        )
        for way, outcome in self.traced(program):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertEqual((self.folder / "mine.txt").read_bytes(), b"precious")
                self.assertGreater(len(self.lanes("trace.json")["busy"].holds), 4000)


class Left(Traced):
    def assert_left(self, killed):
        """A recording, of which late.json is made."""
        self.assertEqual(killed.code, -signal.SIGKILL)
        self.assertFalse((self.folder / "trace.json").exists())
        left = ("-o", "late.json", "--recording", "trace.json.recording")
        outcome = self.run_command(STOCK, "-m", "giltrace", *left)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn("was not ended", outcome.stderr)

    def test_by_a_process_that_is_killed(self):
        for way, outcome in self.traced(TWO_BUSY_THREADS + KILLED):
            with self.subTest(way):
                self.assert_left(outcome)
                self.assertGreater(len(self.lanes("late.json")["spinner"].holds), 10)

    def test_by_a_process_that_crashes_which_says_how_to_draw_it(self):
        crash = "import ctypes; ctypes.string_at(0)"
        in_child = f"import os\nif os.fork() == 0: time.sleep(0); {crash}\nos.wait()"
        said = re.compile(
            r"^giltrace: the program dies of SIGSEGV, and its recording is left: "
            r"`python3 (-m giltrace -o (\S+) --recording \S+)` draws it$",
            re.MULTILINE,
        )
        for code in (crash, in_child):
            for way, outcome in self.traced(f"{TWO_BUSY_THREADS}\n{code}"):
                with self.subTest(way, code=code):
                    told = said.search(outcome.stderr)
                    self.assertIsNotNone(told, outcome)
                    drawn = self.run_command(STOCK, *told[1].split())
                    self.assertEqual(drawn.code, 0, drawn)
                    self.assertTrue(Path(told[2]).exists())

    def test_by_a_process_that_is_killed_is_no_earlier_runs_result(self):
        for output in "trace.json", "trace.html", "trace.svg":
            for way, earlier in self.traced("pass", output):
                with self.subTest(f"{way}, {output}"):
                    self.assertEqual(earlier.code, 0, earlier)
                    self.assertTrue((self.folder / output).exists())
            for way, killed in self.traced(KILLED, output):
                with self.subTest(f"{way}, {output}, killed"):
                    self.assertEqual(killed.code, -signal.SIGKILL)
                    left = sorted(each.name for each in self.folder.iterdir())
                    self.assertEqual(left, [f"{output}.recording"])
                    self.run_command(STOCK, "-m", "giltrace", "-o", output, "-c", "pass")
            (self.folder / output).unlink()

    def test_by_a_process_that_is_killed_replaces_what_a_link_leads_to(self):
        (self.folder / "elsewhere").mkdir()
        (self.folder / "trace.html").symlink_to("elsewhere/there.html")
        for _way, outcome in self.traced("pass", "trace.html"):
            self.assertEqual(outcome.code, 0, outcome)
        self.assertTrue((self.folder / "elsewhere" / "there.html").exists())
        for way, _killed in self.traced(KILLED, "trace.html"):
            with self.subTest(way):
                self.assertTrue((self.folder / "trace.html").is_symlink())
                self.assertFalse((self.folder / "trace.html").exists())

    def test_by_a_process_that_is_killed_names_threads_that_go_on(self):
        code = (
            "import threading\n"
            "threads = [threading.Thread(target=threading.Event().wait, name='sleeper')]\n"
            "threads[0].daemon = True; threads[0].start()"
        )
        for way, outcome in self.traced(code + KILLED):
            with self.subTest(way):
                self.assert_left(outcome)
                self.assertIn("sleeper", self.lanes("late.json"))

    def test_by_a_process_that_is_killed_tells_how_long_as_it_was(self):
        for way, outcome in self.traced(HELD_FOR_A_SECOND + KILLED):
            with self.subTest(way):
                self.assert_left(outcome)
                self.assert_held_as_said(outcome, "late.json")

    def test_by_a_process_that_hangs_tells_who_waits_for_whom(self):
        """The main thread waits for the GIL, for a second, when the process is killed."""
        code = """
import ctypes, os, signal, sys, threading, time
lock = ctypes.create_string_buffer(64)  # a native mutex, which two threads take with the GIL held
native = ctypes.PyDLL(None)
native.pthread_mutex_lock(lock)
def forever():
    native.pthread_mutex_lock(lock)
main = os.getpid()
if os.fork() == 0:
    time.sleep(1.5)
    os.kill(main, signal.SIGKILL)
    os._exit(0)
threading.Thread(target=forever, name="hangs").start()
time.sleep(60)
"""
        for way, killed in self.traced(code):
            with self.subTest(way):
                self.assertEqual(killed.code, -signal.SIGKILL)
                left = ("-o", "late.json", "--recording", "trace.json.recording")
                told = self.run_command(STOCK, "-m", "giltrace", *left).stderr
                self.assertRegex(
                    told,
                    r"^giltrace: 'MainThread' \d+ was still waiting for the GIL at the end, for .*"
                    r", while 'hangs' \d+ held it: a hold that did not end\n"
                    r"  do: run it with .*gilwatch`",
                )
                unfinished = re.search(
                    r"\nwaited for the GIL when the process was killed, or left\n"
                    r"  (\S+ s|\d{3} ms)  'MainThread' \d+ since .*\n"
                    r"  meanwhile 'hangs' \d+ held it, since .*\n",
                    told,
                )
                self.assertTrue(unfinished, told)
                self.assertRegex(told, r"; it did not get it\n")
                self.assertIn("most of it in a hold that did not end", told)
                lane = self.lanes("late.json")["MainThread"]
                begin, end, _ = lane.waits[-1]
                self.assertGreater(end - begin, 500_000)
                self.assertAlmostEqual(end, lane.asks[-1], delta=1)

    def test_by_a_python_of_another_version_knows_its_functions(self):
        """One library serves them all."""
        own = run(STOCK, "-c", VERSION).stdout
        pyenv = Path("~/.pyenv/versions").expanduser()
        found = sorted(pyenv.glob("3.1[1-5].*/bin/python3"))
        found += filter(None, (shutil.which(f"python3.{minor}") for minor in range(11, 16)))
        others = {
            version: str(each)
            for each in found
            if (version := run(str(each), "-c", VERSION).stdout) not in ("", own)
        }
        if not others:
            self.skipTest("there is no other Python here, on PATH or of pyenv")
        code = """
            import time
            def größe():
                time.sleep(0.001)
            größe()
            """
        for version, python in others.items():
            with self.subTest(version.strip()):
                output = ("-o", "other.json")
                script = textwrap.dedent(code)
                outcome = self.run_command(python, "-m", "giltrace", *output, "-c", script)
                self.assertEqual(outcome.code, 0, outcome)
                names = {name for _, _, name in self.lanes("other.json")["MainThread"].holds}
                self.assertIn("größe (<string>:3)", names)

    def test_is_not_taken_from_the_process_that_writes_it(self):
        first = start(
            *(STOCK, "-m", "giltrace", "-o", "same.json", "-c"),
            "import sys, time\nprint('on', flush=True)\nsys.stdin.read()\n"
            "for _ in range(20000): time.sleep(0)",
            cwd=self.folder,
            env=environment(PYTHONPATH=PACKAGES),
            stdin=subprocess.PIPE,
        )
        self.assertEqual(first.stdout.readline(), b"on\n")
        second = self.run_command(STOCK, "-m", "giltrace", "-o", "same.json", "-c", "pass")
        self.assertEqual(second.code, 2, second)
        self.assertRegex(
            second.stderr, rf"process {first.pid} writes .*same\.json\.recording' now: choose"
        )
        outcome = finish(first, b"")
        self.assertEqual(outcome.code, 0, outcome)
        self.assertGreater(len(self.lanes("same.json")["MainThread"].holds), 20000)

    def test_ends_no_program_whose_stderr_has_no_reader(self):
        code = (
            "import os, signal\n"
            "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
            "ends = os.pipe(); os.dup2(ends[1], 2); os.close(ends[0]); os.close(ends[1])\n"
        )
        outcome = self.run_command(STOCK, "-m", "giltrace", "-o", "unread.json", "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual([each.name for each in self.folder.glob("unread*")], ["unread.json"])

    def test_that_contradicts_itself_is_told(self):
        code = TWO_BUSY_THREADS + KILLED
        self.run_command(STOCK, "-m", "giltrace", "-o", "trace.json", "-c", code)
        recording = self.folder / "trace.json.recording"
        good = recording.read_bytes()
        waits, takes, drops = 1, 3, 4

        def said(changed):
            """Of the recording with one event changed, the tenth of that kind."""
            bad, place, seen = bytearray(good), 4096, 0
            while place < len(bad):
                what, size = struct.unpack_from("II", bad, place)
                for event in range(place + 64, place + size, 16) if what == 1 else ():
                    when, kind, name = struct.unpack_from("QII", bad, event)
                    seen += kind in changed
                    if kind in changed and seen == 10:
                        struct.pack_into("QII", bad, event, *changed[kind](when, kind, name))
                place += size
            recording.write_bytes(bad)
            left = ("-o", "late.json", "--recording", recording)
            return self.run_command(STOCK, "-m", "giltrace", *left).stderr

        later = {drops: lambda when, kind, name: (when + 10**8, kind, name)}
        never = {takes: lambda when, kind, name: (when, waits, name)}
        self.assertNotIn("contradicts", said({}))
        self.assertIn("contradicts itself: two threads held the GIL at once", said(later))
        self.assertRegex(said(never), r"contradicts itself: what thread \d+ did .* cannot follow")

    def test_by_a_child_in_a_file_of_its_own(self):
        code = (
            "import os, sys\n"
            "child = os.fork()\n"
            "if child == 0: sys.exit()\n"
            "os.waitpid(child, 0); print(child)"
        )
        for way, outcome in self.traced(code):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertEqual(len(self.lanes()), 1)
                self.assertEqual(len(self.lanes(f"trace.{outcome.stdout.strip()}.json")), 1)
                self.assertEqual(list(self.folder.glob("*.recording")), [])


class Interrupted(Traced):
    """Python ends by the signal then, without exit()."""

    def test_by_ctrl_c_is_written_nevertheless(self):
        for what in "raise KeyboardInterrupt", "import signal; signal.raise_signal(signal.SIGINT)":
            for way, outcome in self.traced(f"{TWO_BUSY_THREADS}{what}"):
                with self.subTest(way, what=what):
                    self.assertEqual(outcome.code, -signal.SIGINT, outcome)
                    self.assertIn("written to ", outcome.stderr)
                    self.assertIn("spinner", self.lanes())
                    self.assertEqual([each.name for each in self.folder.iterdir()], ["trace.json"])
                    (self.folder / "trace.json").unlink()

    def test_by_ctrl_c_is_written_where_the_script_began_it(self):
        code = "import giltrace; giltrace.start('trace.json'); raise KeyboardInterrupt"
        for python in STOCK, HOST:
            with self.subTest(python):
                outcome = self.run_command(python, "-c", code)
                self.assertEqual(outcome.code, -signal.SIGINT, outcome)
                self.assertEqual([each.name for each in self.folder.iterdir()], ["trace.json"])
                (self.folder / "trace.json").unlink()

    def test_by_ctrl_c_after_a_stop_says_nothing(self):
        code = "import giltrace; giltrace.stop(summary=False); raise KeyboardInterrupt"
        for way, outcome in self.traced(code):
            if way == "module":  # the host's recording is its own
                self.assertEqual(outcome.code, -signal.SIGINT, outcome)
                self.assertNotIn("giltrace:", outcome.stderr)


class NoRoom(Traced):
    def test_for_the_output_is_told_and_leaves_the_recording(self):
        (self.folder / "trace.json").symlink_to("/dev/full")
        for way, outcome in self.traced(TWO_BUSY_THREADS):
            with self.subTest(way):
                self.assertIn(
                    f"giltrace: cannot write '{self.folder}/trace.json': No space left on device; ",
                    outcome.stderr,
                )
                (command,) = re.findall("`python3 (.*)`", outcome.stderr)
                again = self.run_command(STOCK, *command.replace("OUTPUT", "late.json").split())
                self.assertEqual(again.code, 0, again)
                self.assertIn("spinner", self.lanes("late.json"))

    def test_for_the_output_leaves_what_was_there(self):
        self.run_command(
            STOCK, "-m", "giltrace", "-o", "trace.json", "-c", TWO_BUSY_THREADS + KILLED
        )
        left = (STOCK, "-m", "giltrace", "-o", "late.html", "--recording", "trace.json.recording")
        for earlier in None, "<!-- written by giltrace -->":
            with self.subTest(earlier):
                if earlier:
                    (self.folder / "late.html").write_text(earlier)
                before = {each.name for each in self.folder.iterdir()}
                outcome = self.run_command("sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *left)
                self.assertEqual(outcome.code, 2, outcome)
                self.assertIn("giltrace: cannot write 'late.html': File too large", outcome.stderr)
                self.assertEqual({each.name for each in self.folder.iterdir()}, before)
                if earlier:
                    self.assertEqual((self.folder / "late.html").read_text(), earlier)

    def test_for_a_snapshot_leaves_no_part_of_it(self):
        code = (
            "import giltrace, resource\n"
            "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
            "giltrace.start('trace.json')\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))\n"
            "try: giltrace.snapshot('now.html')\n"
            "except RuntimeError as error: print(error)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        )
        outcome = self.run_command(STOCK, "-c", code)
        self.assertEqual(outcome.stdout, "giltrace: cannot write 'now.html': File too large\n")
        self.assertEqual([each.name for each in self.folder.iterdir()], ["trace.json"])

    def test_for_events_is_a_gap_that_no_hold_is_drawn_over(self):
        code = (
            "import os, resource, time\n"
            "def lost():\n"
            "    for _ in range(10_000): time.sleep(0)\n"
            "def found():\n"
            "    for _ in range(10_000): time.sleep(0)\n"
            "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
            "size = os.path.getsize('trace.json.recording')\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))\n"
            "lost()\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
            "found()\n"
        )
        for way, outcome in self.traced(code):
            with self.subTest(way):
                self.assertEqual(outcome.code, 0, outcome)
                self.assertNotIn("contradicts", outcome.stderr)
                self.assertRegex(outcome.stderr, r"^giltrace: .*; \d+ events are missing\n")
                self.assertRegex(
                    outcome.stderr,
                    r"\n\d+ events are missing, from .* on to .*: there was no room for them in "
                    r"the recording \(File too large\): make room",
                )
                events = json.loads((self.folder / "trace.json").read_text())["traceEvents"]
                ((begin, end, name),) = Lane.intervals(events, "gap")
                self.assertEqual(name, "events are missing")
                holds = self.lanes()["MainThread"].holds
                self.assertEqual([h for h in holds if h[0] < begin - 1 and h[1] > begin + 1], [])
                self.assertGreater(sum(h[1] <= begin + 1 for h in holds), 10)
                after = [h for h in holds if h[0] >= end - 1]
                self.assertGreater(len(after), 9_000)
                self.assertIn("found (<string>:4)", {name for _, _, name in after})


class CommandLine(Traced):
    def test_has_help_with_every_option_that_fits_a_screen(self):
        packages = Path(PACKAGES)
        wanted = {"--last", "--when-wait-exceeds", "--stack-after", "-m", "-c"}
        for each in "giltrace/__main__.py", "handoff_attach/command_line.py":
            text = (packages / each).read_text()
            wanted |= set(re.findall(r'add_argument\(\s*"(--?[a-z-]+)"', text))
        self.assertGreater(wanted, {"-o", "--pid", "--within", "--seconds", "--signal"})
        outcome = self.run_command(STOCK, "-m", "giltrace", "--help")
        self.assertEqual(
            [each for each in wanted if each not in outcome.stdout.split("PROGRAM")[-1]], []
        )
        self.assertEqual(
            len(re.findall(r"^  \S+ -m giltrace -o ", outcome.stdout, re.MULTILINE)), 3
        )
        lines = outcome.stdout.splitlines()
        self.assertLessEqual(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_that_is_wrong_is_told_in_one_line_of_giltraces(self):
        (self.folder / "other.html").write_text("mine")
        for arguments in (
            ("script.py",),
            ("-o", "x.html"),
            ("-o", "x.txt", "-c", "pass"),
            ("-o", "nowhere/x.html", "-c", "pass"),
            ("-o", "other.html", "-c", "pass"),
            ("-o", "x.html", "--last", "x", "-c", "pass"),
            ("-o", "x.html", "--last", "-1", "-c", "pass"),
            ("-o", "x.html", "--signal", "9", "-c", "pass"),
            ("-o", "x.html", "--unknown"),
            ("-o", "x.html", "--recording", "nothing"),
            ("-o", "x.html", "--recording", "other.html"),
            ("-o", "x.html", "--recording", "other.html", "script.py"),
            ("-o", "x.html", "--pid", "0"),
        ):
            with self.subTest(arguments):
                outcome = self.run_command(STOCK, "-m", "giltrace", *arguments)
                self.assertEqual(outcome.code, 2, outcome)
                self.assertRegex(outcome.stderr, r"^giltrace: .*\n$")
                self.assertEqual([each.name for each in self.folder.iterdir()], ["other.html"])


class Refused(Traced):
    def assert_refused(self, code, output, *said):
        for way, outcome in self.traced(code, output):
            with self.subTest(way):
                self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                for each in said:
                    self.assertIn(each, outcome.stderr)

    def test_an_output_that_cannot_be_written_before_the_run(self):
        self.assert_refused("print(1)", "nowhere/trace.json", "nowhere/trace.json", "No such file")

    def test_an_output_that_giltrace_did_not_write_before_the_run(self):
        for output in "trace.json", "trace.html", "trace.svg", "trace.svg.recording":
            precious = "<!doctype html><title>Mine, and about giltrace</title>"
            (self.folder / output).write_text(precious)
            asked = output.removesuffix(".recording")
            self.assert_refused(
                "print(1)", asked, f"{output}'", "remove it, or choose another name"
            )
            self.assertEqual((self.folder / output).read_text(), precious)
            self.assertEqual([each.name for each in self.folder.iterdir()], [output])
            (self.folder / output).unlink()

    def test_an_output_that_somebody_else_wrote_during_the_run_keeps_the_recording(self):
        code = "open('trace.html', 'w').write('mine')"
        for way, outcome in self.traced(code, "trace.html"):
            with self.subTest(way):
                self.assertIn("has not written", outcome.stderr)
                self.assertEqual((self.folder / "trace.html").read_text(), "mine")
                (self.folder / "trace.html").unlink()
                left = ("-o", "late.html", "--recording", "trace.html.recording")
                self.assertEqual(self.run_command(STOCK, "-m", "giltrace", *left).code, 0)

    def test_is_no_output_that_is_empty_or_no_file(self):
        (self.folder / "trace.html").touch()
        (self.folder / "nowhere.html").symlink_to("/dev/null")
        for output in "trace.html", "nowhere.html":
            for way, outcome in self.traced("pass", output):
                with self.subTest(f"{way}, {output}"):
                    self.assertEqual(outcome.code, 0, outcome)
                    self.assertIn(f"written to {self.folder / output}", outcome.stderr)

    def test_an_output_that_is_a_pipe_or_a_socket_before_the_run(self):
        os.mkfifo(self.folder / "pipe.html")
        os.mkfifo(self.folder / "beside.html.recording")
        with socket.socket(socket.AF_UNIX) as name:
            name.bind(str(self.folder / "socket.html"))
        for output, said in (
            ("pipe.html", "pipe.html' is a pipe"),
            ("socket.html", "socket.html' is a socket"),
            ("beside.html", "beside.html.recording' exists, and is not a recording"),
        ):
            self.assert_refused("print(1)", output, said, "choose another name")
        left = ("-o", "late.html", "--recording", "beside.html.recording")
        outcome = self.run_command(STOCK, "-m", "giltrace", *left)
        self.assertEqual(outcome.code, 2)
        self.assertIn("beside.html.recording' is not a file", outcome.stderr)

    def test_an_unknown_ending(self):
        self.assert_refused("print(1)", "trace.txt", "'trace.txt'", ".json, .html or .svg")

    def test_no_output(self):
        for command, said in (
            ((STOCK, "-c", "import giltrace; giltrace.start('')"), "giltrace: no file was named: "),
            ((HOST, "-X", "giltrace", "-c", "pass"), "giltrace: no file was named: name one that "),
            ((STOCK, "-m", "giltrace", "-c", "pass"), "giltrace: no output is named: give -o "),
            ((STOCK, "-m", "giltrace", "-o", "", "-c", "pass"), "giltrace: no output is named: "),
        ):
            with self.subTest(command):
                self.assertIn(said, self.run_command(*command).stderr)

    def test_a_second_recording(self):
        code = (
            "import giltrace\n"
            "with giltrace.record('a.json'):\n"
            "    try: giltrace.start('b.json')\n"
            "    except RuntimeError as error: print(error)\n"
            "try: giltrace.stop()\n"
            "except RuntimeError as error: print(error)"
        )
        outcome = self.run_command(STOCK, "-c", code)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn("a recording of the GIL already", outcome.stdout)
        self.assertIn("there is no recording", outcome.stdout)
        self.assertFalse((self.folder / "b.json").exists())

    def test_a_package_whose_library_was_not_built(self):
        for package in ("gilcheck", "giltrace"):
            source = Path(PACKAGES) / package / "__init__.py"
            (self.folder / package).mkdir()
            (self.folder / package / "__init__.py").write_text(source.read_text())
            outcome = self.run_command(STOCK, "-c", f"import {package}", PYTHONPATH=self.folder)
            self.assertIn(f"{package}/lib{package}.so: `make build` makes it", outcome.stderr)

    def test_what_is_no_recording(self):
        for content, said in (("", "is empty"), ("x" * 5000, "is not a recording")):
            (self.folder / "other").write_text(content)
            left = ("-o", "late.json", "--recording", "other")
            outcome = self.run_command(STOCK, "-m", "giltrace", *left)
            self.assertEqual(outcome.code, 2)
            self.assertIn(said, outcome.stderr)


if __name__ == "__main__":
    unittest.main()
