"""gilwatch: the first line names who keeps whom from the GIL, in the user's own line."""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from host import (
    HOST,
    IS_EMULATED,
    STOCK,
    TIMEOUT,
    InFolder,
    environment,
    finish,
    run,
    start,
    wait_until_asleep,
)

MODULES = Path(os.environ["MODULES_FOLDER"]) / "hangs"
PACKAGES = os.environ["PYTHON_PACKAGES"]
LIBRARY = str(Path(PACKAGES) / "gilwatch" / "libgilwatch.so")

# What the holder does in each function of module hangs, and where: the user's own function.
HANGS = {
    "join": ("waits for the end of a thread", r"join\(\), called by .*~?pool|destroy_the_pool"),
    "mutex": (r"waits for a mutex, held by thread (?:'worker'|\d+),", r"look_into_cache"),
    "once": ("waits for a static variable that another thread initialises", r"table"),
    "condition": ("waits for a condition variable", r"wait_for_result\(\)"),
    "works": ("works", r"simulate\(\)"),
    "read": ("waits for input or output", r"read_sensor\(\)"),
}
# What is said of mutexes where nobody holds the GIL.
DEADLOCK = (
    r"^gilwatch: nobody holds the GIL; the main thread waits for a mutex, held by thread "
    r"(?:'other'|\d+), in .*lock_both\(.*\) at hangs\.hpp:\d+; thread (?:'other'|\d+) waits for a "
    r"mutex, held by the main thread, in .*lock_both\(.*\) at hangs\.hpp:\d+$"
)
RELOCK = (
    r"^gilwatch: nobody holds the GIL; the main thread waits for a mutex, which it has locked "
    r"itself, in .*lock_twice\(\) at hangs\.hpp:\d+$"
)

shows_system_calls = unittest.skipIf(
    IS_EMULATED, "who holds a mutex is found by /proc/PID/syscall, which shows qemu's calls"
)


class Watched(InFolder):
    def first_report(self, *command, **variables):
        """What the first report says, line by line; the program is killed then."""
        variables = {"PYTHONPATH": PACKAGES, **variables}
        process = start(*command, cwd=self.folder, env=environment(**variables))
        try:
            return self.report_of(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def report_of(self, process):
        told = b""
        while b"\n\n" not in told[told.find(b"gilwatch: ") :]:
            readable, _, _ = select.select([process.stderr], [], [], TIMEOUT)
            piece = os.read(process.stderr.fileno(), 65536) if readable else b""
            self.assertTrue(piece, f"no report, but {told.decode()}")
            told += piece
        text = told.decode(errors="backslashreplace")
        return text[text.find("gilwatch: ") :].splitlines()

    def hang(self, name, kind="lines"):
        return (
            f"import sys; sys.path.insert(0, {str(MODULES / kind)!r}); import hangs; hangs.{name}()"
        )

    def watched(self, code, after="0.3"):
        """(the way, its first report) of each."""
        module = ("-m", "gilwatch", "--after", after, "-c", code)
        yield "module", self.first_report(STOCK, *module)
        yield "host, module", self.first_report(HOST, *module)
        preloaded = {"LD_PRELOAD": LIBRARY, "GILWATCH": after}
        yield "preloaded", self.first_report(STOCK, "-c", code, **preloaded)

    def assert_silent(self, code, after):
        paths = {"PYTHONPATH": PACKAGES}
        module = ("-m", "gilwatch", "--after", after, "-c", code)
        preloaded = {"LD_PRELOAD": LIBRARY, "GILWATCH": after}
        for way, command, variables in (
            ("module", (STOCK, *module), paths),
            ("host", (HOST, *module), paths),
            ("preloaded", (STOCK, "-c", code), preloaded),
        ):
            with self.subTest(way):
                changed = environment(**variables)
                outcome = finish(start(*command, cwd=self.folder, env=changed))
                self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "end\n", ""))


class FirstLine(Watched):
    """Who holds the GIL, what for, in which of the user's lines; and who waits, and where."""

    def assert_names(self, name):
        does, where = HANGS[name]
        for way, report in self.watched(self.hang(name)):
            with self.subTest(way):
                self.assertRegex(
                    report[0],
                    rf"^gilwatch: the main thread holds the GIL and {does} in .*(?:{where}).*"
                    r" at hangs\.hpp:\d+; 1 thread waits for it, \S+ s: thread '\w+' in .*"
                    r"(?:append_to_log\(\)|a function inlined in \w+) at hangs\.hpp:\d+$",
                )
                self.assertRegex(
                    report[1], "^  do: .*release the GIL|^  do: .*initialise it before"
                )
                if "handoff::gil_once" not in report[1]:
                    self.assertRegex(report[1], r"\(handoff::gil_release, pybind11::gil_scoped_")

    def test_of_a_join(self):
        self.assert_names("join")

    @shows_system_calls
    def test_of_a_mutex(self):
        self.assert_names("mutex")

    def test_of_a_static_initialiser(self):
        self.assert_names("once")

    def test_of_a_condition_variable(self):
        self.assert_names("condition")

    def test_of_native_work(self):
        self.assert_names("works")

    def test_of_a_holder_that_has_ended(self):
        for way, report in self.watched(self.hang("keep")):
            with self.subTest(way):
                self.assertRegex(
                    report[0],
                    r"^gilwatch: thread \d+ has ended, and did not release the GIL, .*; 1 thread "
                    r"waits for it, \S+ s: the main thread in .*keep_for_ever\(\) at hangs\.hpp:",
                )
                self.assertIn("wants a PyGILState_Release()", report[1])

    def test_of_a_hang_right_after_the_start(self):
        """Python's main thread is asked for its stacks before, which it cannot answer any more.

        A preloaded gilwatch looks every 5 ms for a Python that has started, and asks it then.
        """
        code = "import asyncio, ctypes; ctypes.PyDLL(None).sleep(60)"
        for way, report in self.watched(code, after="2"):
            with self.subTest(way):
                self.assertRegex(report[0], "^gilwatch: the main thread holds .* <string>:1[;,]")

    def test_of_a_pipe(self):
        self.assert_names("read")

    def test_of_the_end_of_python_says_so(self):
        """A thread that wants the GIL then never ends; this one has another reason."""
        code = (
            "import ctypes\n"
            "c, thread = ctypes.PyDLL(None), ctypes.c_ulong()\n"
            "c.pthread_create(ctypes.byref(thread), None, c.pause, None)\n"
            "class Joins:\n"
            "    join, thread = c.pthread_join, thread\n"
            "    def __del__(self): self.join(self.thread, None)\n"
            "kept = Joins()"
        )
        for way, report in self.watched(code):
            with self.subTest(way):
                self.assertRegex(
                    report[0],
                    "^gilwatch: Python is ending; the main thread holds the GIL and waits for the "
                    r"end of a thread in .*__del__\(\) at <string>:6",
                )
                self.assertIn("  do: end that thread before Python ends: ", report[1])

    def assert_names_of_every(self, binding):
        """The user's function, not the binding library's that called it."""
        if not (MODULES / binding).exists():
            self.skipTest(f"{binding} was not there when the tests were built")
        for name, (does, where) in HANGS.items():
            with self.subTest(name):
                command = ("-m", "gilwatch", "--after", "0.3", "-c", self.hang(name, binding))
                report = self.first_report(STOCK, *command)
                self.assertRegex(
                    report[0],
                    rf"^gilwatch: the main thread holds the GIL and {does} in .*(?:{where}).*"
                    r" at hangs\.hpp:\d+; 1 thread waits for it",
                )
                # The guard that the module has at hand comes first.
                guard = "handoff::gil_release, Py_BEGIN_ALLOW_THREADS"
                if binding != "boost":
                    guard = f"{binding}::gil_scoped_release, handoff::gil_release, Py_BEGIN_ALLOW_"
                self.assertIn(guard, report[1])
        command = ("-m", "gilwatch", "--after", "0.3", "-c", self.hang("join_last", binding))
        self.assertRegex(
            self.first_report(STOCK, *command)[0],
            r"^gilwatch: the main thread holds the GIL and waits for the end of a thread in "
            r"(?:std::thread::join\(\), called from hangs\.so by a function that left "
            r"no frame, .* -fno-optimize-sibling-calls .*|"
            r"std::thread::join\(\), called by hangs::join_last\(\) at hangs\.hpp:\d+)"
            r"; 1 thread waits for it",
        )

    def test_of_boost_python(self):
        self.assert_names_of_every("boost")

    def test_of_pybind11(self):
        self.assert_names_of_every("pybind11")

    def test_of_nanobind(self):
        self.assert_names_of_every("nanobind")

    def test_of_a_holder_that_sleeps_where_nobody_waits(self):
        for way, report in self.watched(self.hang("sleep")):
            with self.subTest(way):
                self.assertRegex(
                    report[0],
                    r"holds the GIL and sleeps in .*sleep_long\(\) at hangs\.hpp:\d+; "
                    r"nobody waits for it yet, after",
                )

    def test_without_debug_information_names_the_function_and_says_why_no_line(self):
        command = ("-m", "gilwatch", "--after", "0.3", "-c", self.hang("read", "names"))
        report = self.first_report(STOCK, *command)
        self.assertRegex(
            report[0],
            r" in read, called by .*read_sensor\(\) in hangs.so \(lines unknown: compile it with "
            r"-g\), called by <string>:1; 1 ",
        )

    def test_of_a_stripped_module_says_why_no_name(self):
        command = ("-m", "gilwatch", "--after", "0.3", "-c", self.hang("read", "stripped"))
        report = self.first_report(STOCK, *command)
        self.assertRegex(
            report[0],
            r" in read, called by a function in hangs.so\+0x\w+ \(no symbols: .*do not strip.*\), "
            "called by <string>:1",
        )

    def test_of_a_deep_stack_says_how_much_is_left_out(self):
        code = (
            f"{self.hang('join').rpartition(';')[0]}\n"
            "def down(levels):\n"
            "    return sorted([1], key=lambda _: down(levels - 1) if levels else hangs.join())\n"
            "down(100)"
        )
        report = self.first_report(STOCK, "-m", "gilwatch", "--after", "0.3", "-c", code)
        self.assertRegex(
            "\n".join(report), r"tid \d+, holds the GIL\n(?:    .*\n)+      … \d+ more\n"
        )

    def test_of_python_code_names_the_line_of_the_script(self):
        script = self.write(
            "script.py",
            "import ctypes, os\n"
            "def wait_in_c():\n"
            "    ctypes.PyDLL(None).read(os.pipe()[0], bytes(1), 1)\n"
            "wait_in_c()\n",
        )
        report = self.first_report(STOCK, "-m", "gilwatch", "--after", "0.3", script)
        self.assertRegex(
            report[0],
            r"holds the GIL and waits for input or output in wait_in_c\(\) at script\.py:3; nobody",
        )

    def test_is_written_though_the_program_ends_meanwhile(self):
        """Which a signal to its thread would have it do."""
        code = "import ctypes; ctypes.PyDLL(None).sleep(3600)"
        report = self.first_report(STOCK, "-m", "gilwatch", "--after", "0.3", "-c", code)
        self.assertRegex(report[0], r"holds the GIL and sleeps in <string>:1; nobody")


class OnDemand(Watched):
    """A report for which somebody asks, of what has nothing to do with the GIL."""

    def assert_by_signal(self, code, said):
        """Of the first report that the program is asked for when it has got there."""
        code = f"import os, threading, time\n{code}"
        number = str(int(signal.SIGUSR1))
        module = ("-m", "gilwatch", "--after", "60", "--signal", number, "-c", code)
        process = start(STOCK, *module, cwd=self.folder, env=environment(PYTHONPATH=PACKAGES))
        try:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            wait_until_asleep(process)
            os.kill(process.pid, signal.SIGUSR1)
            report = self.report_of(process)
            self.assertRegex(report[0], said)
            return report
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def test_of_a_lock(self):
        self.assert_by_signal(
            "def take_again():\n"
            "    lock = threading.Lock(); lock.acquire(); print('ready', flush=True)\n"
            "    lock.acquire()\n"
            "take_again()",
            r"^gilwatch: nobody holds the GIL; the main thread waits for a lock of Python's in "
            r"take_again\(\) at <string>:4",
        )

    def test_of_two_locks_in_either_order(self):
        report = self.assert_by_signal(
            "first, second, both = threading.Lock(), threading.Lock(), threading.Barrier(2)\n"
            "def take(one, other):\n"
            "    with one:\n"
            "        if both.wait() == 0: print('ready', flush=True)\n"
            "        with other: pass\n"
            "threading.Thread(target=take, args=(second, first)).start()\n"
            "take(first, second)",
            r"^gilwatch: nobody holds the GIL; the main thread waits for a lock of Python's in "
            r"take\(\) at <string>:6; thread .* waits for a lock of Python's in take\(\) at .*:6",
        )
        self.assertRegex(report[1], "^  do: if each has the lock .* --deadlocks --python-locks` ")

    def test_of_two_threads_of_one_name_gives_their_numbers(self):
        self.assert_by_signal(
            "taken = threading.Semaphore(0)\n"
            "def take_again():\n"
            "    lock = threading.Lock(); lock.acquire(); taken.release()\n"
            "    lock.acquire()\n"
            "workers = [threading.Thread(target=take_again, name='worker') for _ in range(2)]\n"
            "for each in workers: each.start(); taken.acquire()\n"
            "print('ready', flush=True); workers[0].join()",
            r"(?:; thread 'worker', tid \d+ waits for a lock of Python's in take_again\(\) .*){2}",
        )

    def test_of_idle_workers_gives_no_advice(self):
        report = self.assert_by_signal(
            "import queue\n"
            "jobs = queue.SimpleQueue(), queue.Queue()\n"
            "threading.Thread(target=jobs[1].get).start()\n"
            "print('ready', flush=True)\n"
            "jobs[1].get()",
            r"^gilwatch: nobody holds the GIL; the main thread waits for a lock of Python's in ",
        )
        self.assertNotRegex(report[1], "do:")

    def test_of_a_pipe(self):
        self.assert_by_signal(
            "def read_pipe():\n"
            "    print('ready', flush=True); os.read(os.pipe()[0], 1)\n"
            "read_pipe()",
            r"main thread waits for input or output in read_pipe\(\) at <string>:3",
        )

    def test_of_a_thread_that_is_joined(self):
        self.assert_by_signal(
            "def end_worker():\n"
            "    worker = threading.Thread(target=time.sleep, args=(3600,)); worker.start()\n"
            "    print('ready', flush=True); worker.join()\n"
            "end_worker()",
            r"waits for the end of a Python thread in end_worker\(\) at <string>:4",
        )

    def test_of_an_import(self):
        self.write("slow.py", "import sys, time\nsys.begun.set()\ntime.sleep(3600)\n")
        self.assert_by_signal(
            "import sys; sys.path.insert(0, '')\n"
            "begun = sys.begun = threading.Event()\n"
            "def load():\n    import slow\n"
            "other = threading.Thread(target=load, daemon=True); other.start()\n"
            "begun.wait(); print('ready', flush=True); load()",
            r"main thread waits for another thread's import in load\(\) at <string>:5",
        )

    def assert_of_module(self, name, said):
        folder = str(MODULES / "lines")
        self.assert_by_signal(
            f"import sys; sys.path.insert(0, {folder!r}); import hangs\n"
            f"print('ready', flush=True); hangs.{name}()",
            said,
        )

    @shows_system_calls
    def test_of_threads_that_wait_for_each_others_mutex(self):
        self.assert_of_module("deadlock", DEADLOCK)

    @shows_system_calls
    def test_of_a_mutex_that_is_locked_twice(self):
        self.assert_of_module("relock", RELOCK)

    def test_of_an_interpreter_that_waits_for_a_call_without_python(self):
        """Who is called through it, and where, though no line of Python's leads there."""
        program = Path(os.environ["MODULES_FOLDER"]) / "stopping"
        if not program.exists():
            self.skipTest("there is no handoff::interpreter")
        number = int(signal.SIGUSR1)
        variables = environment(HANDOFF_WATCHDOG=f"60,signal={number}")
        process = start(program, "natively", stdin=subprocess.PIPE, env=variables)
        try:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            process.stdin.write(b"x")
            self.assertEqual(process.stdout.readline(), b"stops\n")
            wait_until_asleep(process)
            process.send_signal(number)
            self.assertRegex(
                self.report_of(process)[0],
                r"^gilwatch: nobody holds the GIL; the main thread stops the interpreter, and "
                r"waits for calls in .*leave\(.*; thread \d+ waits for a condition variable in .*, "
                r"called by .*wait_for_device\(\) at stopping\.cpp:\d+$",
            )
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def test_by_a_call(self):
        code = "import gilwatch\ngilwatch.start(60)\ngilwatch.report()\nprint('end')"
        outcome = finish(
            start(STOCK, "-c", code, cwd=self.folder, env=environment(PYTHONPATH=PACKAGES))
        )
        self.assertEqual((outcome.code, outcome.stdout), (0, "end\n"), outcome)
        self.assertRegex(outcome.stderr, r"^gilwatch: .* main thread .* in <string>:3")

    def test_leaves_out_the_threads_of_the_other_tools(self):
        code = (
            "import ctypes, gilcheck, gilwatch, threading\n"
            "gilcheck.start('warn,deadlocks,budget=9s')\n"
            "gilwatch.start(0.3)\n"
            "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            "ctypes.PyDLL(None).pause()"
        )
        report = "\n".join(self.first_report(STOCK, "-c", code))
        self.assertIn(
            "do: release the GIL around what it waits in: call it through ctypes.CDLL", report
        )
        self.assertEqual(len(re.findall(r"\n.*, tid \d+", report)), 2, report)

    def test_of_another_waiter_repeats_no_stack_that_is_unchanged(self):
        code = (
            "import ctypes, os, threading, time\n"
            "def works():\n    while True: time.sleep(.01)\n"
            "def reads(): os.read(0, 1)\n"
            "for each in (works, reads): threading.Thread(target=each, daemon=True).start()\n"
            "ctypes.PyDLL(None).pause()"
        )
        variables = environment(PYTHONPATH=PACKAGES)
        command = (STOCK, "-m", "gilwatch", "--after", "0.3", "-c", code)
        process = start(*command, stdin=subprocess.PIPE, cwd=self.folder, env=variables)
        try:
            self.assertIn("1 thread waits for it", self.report_of(process)[0])
            process.stdin.write(b"x")
            process.stdin.flush()
            lines = iter(lambda: process.stderr.readline().decode(), "")
            self.assertTrue(any("2 threads wait for it" in line for line in lines))
            self.assertRegex(next(lines), r"^  do: ")
            self.assertEqual(next(lines), "\n")
            self.assertRegex(next(lines), r"^the main thread, tid \d+, holds the GIL$")
            self.assertEqual(next(lines), "  the stack is unchanged since the last report\n")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


class Silent(Watched):
    """A program that has nothing wrong is told nothing, and goes as without."""

    def test_of_busy_threads_and_of_idle_ones(self):
        code = (
            "import threading, time\n"
            "end = time.monotonic() + 2.5\n"
            "def work():\n    while time.monotonic() < end: sum(range(1000))\n"
            "workers = [threading.Thread(target=work) for _ in range(3)]\n"
            "for each in workers: each.start()\n"
            "for each in workers: each.join()\n"
            "time.sleep(2)\n"
            "print('end')"
        )
        self.assert_silent(code, "1")

    def test_of_one_thread_that_works_alone(self):
        """It holds the GIL all the time, and nobody wants it."""
        code = (
            "import time\n"
            "end = time.monotonic() + 1.5\n"
            "while time.monotonic() < end: pass\n"
            "print('end')"
        )
        self.assert_silent(code, "0.3")

    def test_of_a_program_without_python(self):
        outcome = finish(start("/bin/true", env=environment(LD_PRELOAD=LIBRARY, GILWATCH="0.1")))
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "", ""))


class Contended(Watched):
    def test_long_holds_one_after_the_other_are_told_apart_from_threads_that_compute(self):
        """Each is long, but not as long as the waits of those who come last."""
        # Each call holds the GIL for 0.4 s, however busy the machine is: no bytecode runs in it.
        code = (
            "import threading, time\n"
            "from collections import deque\n"
            "from itertools import takewhile\n"
            "def crunch():\n"
            "    while True:\n"
            "        end = time.monotonic() + 0.4\n"
            "        deque(takewhile(end.__gt__, iter(time.monotonic, None)), maxlen=0)\n"
            "for _ in range(8): threading.Thread(target=crunch).start()\n"
        )
        for way, report in self.watched(code, after="2"):
            with self.subTest(way):
                # Who holds it is seen, but where it was just handed over.
                self.assertRegex(
                    report[0],
                    r"^gilwatch: .*(?:thread.* holds the GIL and works in \w+\(\) at <string>:\d+"
                    r"|the GIL changes hands)[,;] .*\S+ s, through more than one long hold: ",
                )
                self.assertRegex(report[1], "^  do: .*release the GIL")

    def test_one_hold_that_ends_while_the_report_is_made_is_told_apart_from_them(self):
        """It blocks all signals, so that it is asked in vain for a while."""
        module = MODULES.parent / "long_holds" / "lines"
        code = (
            f"import sys; sys.path.insert(0, {str(module)!r})\n"
            "import long_holds, signal, threading, time\n"
            "done = threading.Event()\n"
            "def want():\n"
            "    while not done.is_set(): time.sleep(0.0005)\n"
            "waiter = threading.Thread(target=want); waiter.start()\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
            "long_holds.works()\n"
            "done.set(); waiter.join()\n"
        )
        for after in "0.15", "0.25", "0.35":
            command = (STOCK, "-m", "gilwatch", "--after", after, "-c", code)
            outcome = finish(start(*command, env=environment(PYTHONPATH=PACKAGES)))
            with self.subTest(after=after):
                self.assertEqual(outcome.code, 0, outcome)
                # None, where it ended before it was looked at.
                for first in re.findall("^gilwatch: .*", outcome.stderr, re.MULTILINE):
                    self.assertRegex(
                        first,
                        r"the main thread (?:holds the GIL and does not answer "
                        r"|held the GIL for \S+ m?s or longer, and released it while)",
                    )

    def test_threads_that_compute_are_told_apart_from_a_hang(self):
        code = (
            "import threading\n"
            "def work():\n    while True: sum(range(200))\n"
            "for _ in range(40): threading.Thread(target=work).start()\n"
        )
        for way, report in self.watched(code, after="0.5"):
            with self.subTest(way):
                self.assertRegex(
                    report[0], r"^gilwatch: the GIL changes hands, \d+ threads or more want"
                )
                self.assertIn("use processes", report[1])


class HarmsNothing(Watched):
    def ended(self, code, *options, **variables):
        command = (STOCK, "-m", "gilwatch", "--after", "0.2", *options, "-c", code)
        paths = {"PYTHONPATH": PACKAGES, **variables}
        return finish(start(*command, cwd=self.folder, env=environment(**paths)))

    def test_of_two_threads_that_ask_for_reports(self):
        outcome = self.ended(
            "import gilwatch, threading\n"
            "def ask():\n    for _ in range(5): gilwatch.report()\n"
            "asking = [threading.Thread(target=ask) for _ in range(3)]\n"
            "for each in asking: each.start()\n"
            "for each in asking: each.join()\n"
            "print('end')"
        )
        self.assertEqual((outcome.code, outcome.stdout), (0, "end\n"))

    def test_of_a_reader_of_stderr_who_waits_for_the_end(self):
        code = (
            "import ctypes, threading, time\n"
            "threading.stack_size(65536)\n"
            "idle = [threading.Thread(target=time.sleep, args=(3600,), daemon=True)"
            " for _ in range(400)]\n"
            "for each in idle: each.start()\n"
            "for _ in range(8): ctypes.PyDLL(None).usleep(300_000)\n"
            "print('end', flush=True)"
        )
        command = (STOCK, "-m", "gilwatch", "--after", "0.2", "-c", code)
        paths = environment(PYTHONPATH=PACKAGES)
        process = start(*command, cwd=self.folder, env=paths)
        try:
            self.assertEqual(process.stdout.readline(), b"end\n")
            self.assertEqual(process.wait(TIMEOUT), 0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def test_of_a_process_without_a_free_descriptor(self):
        """Nor can /proc be read then."""
        code = (
            "import ctypes, os, resource, threading, time\n"
            "ends = os.pipe()\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
            "try:\n    while True: os.open('/dev/null', 0)\n"
            "except OSError: pass\n"
            "waiter = threading.Thread(target=time.sleep, args=(0.01,)); waiter.start()\n"
            "ctypes.PyDLL(None).read(ends[0], bytes(1), 1)\n"
        )
        command = ("-m", "gilwatch", "--after", "0.3", "-c", code)
        report = self.first_report(STOCK, *command)
        self.assertRegex(report[0], r"the main thread holds the GIL and .*; 1 thread waits for it")

    def test_of_a_program_that_needs_one_thread(self):
        """setgroups() asks every thread, and ends the process where one of them may not."""
        variables = environment(LD_PRELOAD=LIBRARY, GILWATCH="0.2")
        outcome = finish(start("/bin/grep", "Threads", "/proc/self/status", env=variables))
        self.assertEqual((outcome.code, outcome.stdout.split()), (0, ["Threads:", "1"]))

    def test_of_a_call_that_needs_one_thread_between_a_stop_and_a_start(self):
        code = (
            "import gilwatch, os, time\n"
            "def threads(expected):\n"
            "    end = time.monotonic() + 10  # one that was joined is listed a little longer\n"
            "    while (seen := len(os.listdir('/proc/self/task'))) != expected:\n"
            "        if time.monotonic() > end: break\n"
            "    return seen\n"
            "seen = [threads(2)]\n"
            "gilwatch.stop(); seen.append(threads(1))\n"
            "gilwatch.start(60); seen.append(threads(2))\n"
            "print(seen)"
        )
        outcome = self.ended(code)
        self.assertEqual(outcome, (0, "[2, 1, 2]\n", ""))

    def test_of_a_fork_while_a_report_is_due(self):
        outcome = self.ended(
            "import ctypes, os, threading, time\n"
            "for _ in range(20):\n"
            "    ctypes.PyDLL(None).usleep(210_000)\n"
            "    child = os.fork()\n"
            "    if child == 0: os._exit(0)\n"
            "    os.waitpid(child, 0)\n"
        )
        self.assertEqual(outcome.code, 0, outcome)
        self.assertNotIn("waits for the end of a thread", outcome.stderr)


class SparesWaits(Watched):
    """A signal ends some waits whatever its handler: who is in one is not asked, but named."""

    WAITS = {
        "pause": ("waits for a signal", "signal.pause()"),
        "usleep": ("sleeps", "ctypes.CDLL(None).usleep(2**31)"),
        "poll": (
            "waits for input or output",
            "ctypes.CDLL(None).poll(None, ctypes.c_ulong(0), -1)",
        ),
        "recv of a socket with a time limit": (
            "waits for input or output",
            "import socket, struct; one, other = socket.socketpair(); "
            "one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 3600, 0)); "
            "ctypes.CDLL(None).recv(one.fileno(), ctypes.create_string_buffer(1), 1, 0)",
        ),
    }

    def test_of_the_main_thread(self):
        for name, (does, call) in self.WAITS.items():
            with self.subTest(name):
                code = (
                    "import ctypes, gilwatch, os, signal, threading, time\n"
                    "gilwatch.start(60)\n"
                    "def report():\n"
                    "    stat = f'/proc/self/task/{threading.main_thread().native_id}/stat'\n"
                    "    while open(stat).read().rpartition(')')[2].split()[0] != 'S':\n"
                    "        time.sleep(0.01)\n"
                    "    gilwatch.report()\n"
                    "    print('reported', flush=True)\n"
                    "    os.kill(os.getpid(), signal.SIGKILL)\n"
                    "threading.Thread(target=report).start()\n"
                    f"def wait():\n    {call}\n"
                    "wait()\n"
                    "print('interrupted', flush=True)\n"
                )
                outcome = finish(
                    start(STOCK, "-c", code, env=environment(PYTHONPATH=PACKAGES)), aborts=True
                )
                self.assertEqual((outcome.code, outcome.stdout), (-signal.SIGKILL, "reported\n"))
                self.assertRegex(
                    outcome.stderr, rf"the main thread {does} in wait\(\) at <string>:12; "
                )

    def test_of_who_holds_the_gil(self):
        """Of whom the C++ stack is wanted, too."""
        code = (
            "import hangs, time\n"
            "begin = time.monotonic(); hangs.doze(); print(time.monotonic() - begin)"
        )
        paths = f"{PACKAGES}:{MODULES / 'lines'}"
        command = (STOCK, "-m", "gilwatch", "--after", "0.2", "-c", code)
        outcome = finish(start(*command, env=environment(PYTHONPATH=paths)))
        self.assertEqual(outcome.code, 0, outcome)
        self.assertRegex(
            outcome.stderr,
            r"^gilwatch: the main thread holds the GIL and sleeps in .*doze\(\) at hangs\.hpp:\d+;",
        )
        self.assertGreaterEqual(float(outcome.stdout), 1.0)


class LoadedLater(Watched):
    """Preloaded into a program that loads Python by dlopen(), as one does that has plugins."""

    def embedding(self, code):
        program = Path(os.environ["MODULES_FOLDER"]) / "plugin_host"
        if not program.exists():
            self.skipTest("this Python has no shared libpython")
        return (program, "1", program.with_name("plugin_with_python.so"), code)

    def test_is_watched(self):
        program = self.embedding(self.hang("join"))
        report = self.first_report(*program, LD_PRELOAD=LIBRARY, GILWATCH="0.3")
        self.assertRegex(
            report[0],
            r"^gilwatch: the main thread holds the GIL and waits for the end of a thread in .* at "
            r"hangs\.hpp:\d+; 1 thread waits for it, \S+ s: thread '\w+' in .*append_to_log",
        )

    def test_is_told_of_a_setting_that_is_none(self):
        program = self.embedding("print('run')")
        outcome = finish(start(*program, env=environment(LD_PRELOAD=LIBRARY, GILWATCH="soon")))
        self.assertEqual((outcome.code, outcome.stdout), (2, ""), outcome)
        self.assertRegex(outcome.stderr, r"^gilwatch's settings are .*, not 'soon'\n$")

    def test_is_as_without_where_nothing_hangs(self):
        program = self.embedding("import time; time.sleep(0.5); print('end')")
        outcome = finish(start(*program, env=environment(LD_PRELOAD=LIBRARY, GILWATCH="0.1")))
        self.assertEqual(outcome, (0, "end\n", ""))


class Child(Watched):
    def test_of_a_fork_is_watched_too(self):
        code = (
            "import os, sys\n"
            "if os.fork():\n    os.wait()\n"
            f"else:\n    import time; time.sleep(0); {self.hang('join')}\n"
        )
        for way, report in self.watched(code):
            with self.subTest(way):
                self.assertRegex(report[0], r"the main thread holds the GIL and waits for the end")


class Settings(Watched):
    """What start() says, counts from then on; what stop() ends, is as it was before."""

    CAUGHT = (
        "import gilwatch, os, re, signal, threading\n"
        "def caught(number):\n"
        "    status = open('/proc/self/status').read()\n"
        "    mask = int(re.search(r'SigCgt:\\s*(\\w+)', status)[1], 16)\n"
        "    return bool(mask >> (number - 1) & 1)\n"
    )

    def said(self, code):
        process = start(STOCK, "-c", self.CAUGHT + code, env=environment(PYTHONPATH=PACKAGES))
        outcome = finish(process)
        self.assertEqual(outcome.code, 0, outcome)
        return outcome

    def test_another_signal_takes_the_place_of_the_first(self):
        outcome = self.said(
            "for number in signal.SIGUSR1, signal.SIGUSR2:\n"
            "    gilwatch.start(60, signal=number)\n"
            "print(caught(signal.SIGUSR1), caught(signal.SIGUSR2))\n"
            "gilwatch.start(60)\n"
            "print(caught(signal.SIGUSR1), caught(signal.SIGUSR2))\n"
        )
        self.assertEqual(outcome.stdout, "False True\nFalse False\n")

    def test_the_signal_is_given_back(self):
        outcome = self.said(
            "signal.signal(signal.SIGUSR1, lambda *_: print('mine'))\n"
            "gilwatch.start(60, signal=signal.SIGUSR1)\n"
            "gilwatch.stop()\n"
            "os.kill(os.getpid(), signal.SIGUSR1)\n"
        )
        self.assertEqual((outcome.stdout, outcome.stderr), ("mine\n", ""))

    def test_but_not_one_that_somebody_else_has_taken(self):
        outcome = self.said(
            "gilwatch.start(60, signal=signal.SIGUSR1)\n"
            "signal.signal(signal.SIGUSR1, lambda *_: print('mine'))\n"
            "gilwatch.stop()\n"
            "os.kill(os.getpid(), signal.SIGUSR1)\n"
        )
        self.assertEqual((outcome.stdout, outcome.stderr), ("mine\n", ""))

    def test_a_report_says_of_its_caller_that_it_asks(self):
        outcome = self.said("gilwatch.start(60)\ndef ask():\n    gilwatch.report()\nask()")
        self.assertRegex(
            outcome.stderr,
            r"^gilwatch: nobody holds the GIL; the main thread asks for this report in ask\(\) at "
            r"<string>:8\n",
        )

    def test_a_report_beside_a_stop_is_made_or_refused(self):
        """It waits for nobody who has ended."""
        outcome = self.said(
            "made, refused = threading.Semaphore(0), threading.Semaphore(0)\n"
            "def report():\n"
            "    while True:\n"
            "        try:\n            gilwatch.report()\n            made.release()\n"
            "        except RuntimeError:\n            refused.release()\n"
            "threading.Thread(target=report, daemon=True).start()\n"
            "for _ in range(5):\n"
            "    gilwatch.start(60)\n    assert made.acquire(timeout=60)\n"
            "    gilwatch.stop()\n    assert refused.acquire(timeout=60)\n"
        )
        self.assertIn("gilwatch: ", outcome.stderr)


class Help(Watched):
    def test_tells_every_option_on_one_screen(self):
        variables = environment(PYTHONPATH=PACKAGES, COLUMNS="80")
        outcome = finish(start(STOCK, "-m", "gilwatch", "--help", env=variables))
        self.assertEqual(outcome.code, 0, outcome)
        usage, _, told = outcome.stdout.partition("\n\n")
        explained = set(re.findall(r"^  (--\w+)\b", told, re.MULTILINE))
        takes = {"--after", "--signal", "--pid", "--watch", "--within", "--core", "--executable"}
        self.assertEqual(explained, takes | {"--version"})
        for shown in ("SCRIPT", "-m MODULE", "-c CODE", "--pid PID", "--core FILE", "[OPTION ...]"):
            self.assertIn(shown, usage)
        self.assertEqual(len(re.findall(r"^  \S+ -m gilwatch ", told, re.MULTILINE)), 3)
        lines = outcome.stdout.splitlines()
        self.assertLessEqual(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_of_an_option_that_does_not_apply(self):
        for options, said in {
            ("--within", "3", "-c", "pass"): "--within goes with --pid and --watch",
            ("--watch", "-c", "pass"): "--watch goes with --pid",
            ("--executable", "x", "-c", "pass"): "--executable goes with --core",
            ("--pid", "1x"): "--pid: '1x' is not a number",
            ("--signal", "usr1", "-c", "pass"): "--signal: 'usr1' is not a number",
            ("--signal", "0", "-c", "pass"): "--signal: 0 is not a signal",
        }.items():
            with self.subTest(options):
                command = (STOCK, "-m", "gilwatch", *options)
                outcome = finish(start(*command, env=environment(PYTHONPATH=PACKAGES)))
                self.assertEqual(outcome.code, 2, outcome)
                self.assertRegex(outcome.stderr, rf"^gilwatch: {said}.*\n$")

    def test_of_an_option_that_there_is_not_names_the_one_that_is_like_it(self):
        for tool, option, said in (
            ("gilwatch", "--afte", "--afte (did you mean --after?)"),
            ("gilwatch", "--nonesuch", "--nonesuch"),
            ("gilwatch", "--nope", "--nope"),
            ("gilcheck", "--deadlock", "--deadlock (did you mean --deadlocks?)"),
            ("giltrace", "--secs=3", "--secs=3 (did you mean --seconds?)"),
        ):
            with self.subTest(tool, option=option):
                command = (STOCK, "-m", tool, option, "-c", "pass")
                outcome = finish(start(*command, env=environment(PYTHONPATH=PACKAGES)))
                self.assertEqual(outcome.code, 2, outcome)
                said_of_help = f"; `python3 -m {tool} --help` lists the options\n"
                self.assertEqual(outcome.stderr, f"{tool}: there is no option {said}{said_of_help}")


class BadInput(Watched):
    def test_is_refused_in_one_line(self):
        for bad, said in {
            "0": "'0' is not a positive number of seconds",
            "inf": "'inf' is not a positive number of seconds",
            "-1": "'-1' is not a positive number of seconds",
            "soon": "'soon' is not a positive number of seconds",
        }.items():
            with self.subTest(bad):
                outcome = finish(
                    start(
                        *(STOCK, "-m", "gilwatch", f"--after={bad}", "-c", "pass"),
                        env=environment(PYTHONPATH=PACKAGES),
                    )
                )
                self.assertEqual(outcome.code, 2, outcome)
                self.assertRegex(outcome.stderr, rf"^gilwatch: .*{said}.*\n$")

    def test_of_the_variable_ends_the_program(self):
        for bad in ("soon", "5,signal=9", "5,signal=11", "5,signal=32", "5,signal=x", "5,5"):
            with self.subTest(bad):
                variables = environment(LD_PRELOAD=LIBRARY, GILWATCH=bad)
                outcome = finish(start(STOCK, "-c", "pass", env=variables))
                self.assertEqual(outcome.code, 2, outcome)
                self.assertRegex(outcome.stderr, rf"^gilwatch's .* '{re.escape(bad)}'\n$")

    def test_of_a_signal_is_refused_in_each_way(self):
        """By the library, which alone knows what it handles."""
        said = "gilwatch's signal must be one that can be handled, such as 12, not"
        paths = environment(PYTHONPATH=PACKAGES)
        for bad in (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGTRAP, 32, -1, 65):
            with self.subTest(bad):
                code = f"import gilwatch; gilwatch.start(5, signal={int(bad)})"
                outcome = finish(start(STOCK, "-c", code, env=paths))
                self.assertIn(f"ValueError: {said} {int(bad)}, in '5", outcome.stderr)
                command = (STOCK, "-m", "gilwatch", f"--signal={int(bad)}", "-c", "pass")
                outcome = finish(start(*command, env=paths))
                self.assertEqual(outcome.code, 2)
                called = said.replace("gilwatch's ", "gilwatch: --")
                self.assertEqual(outcome.stderr, f"{called} {int(bad)}\n")
        for bad in ("True", "'USR1'", "1.0"):
            with self.subTest(bad):
                code = f"import gilwatch; gilwatch.start(5, signal={bad})"
                outcome = finish(start(STOCK, "-c", code, env=paths))
                self.assertIn(f"a signal's number, not {bad}", outcome.stderr)

    def test_of_an_older_python_is_told_of_and_harms_nothing(self):
        """It may be a child of the program that is to be watched, or checked."""
        older = next(filter(None, (shutil.which(f"python3.{n}") for n in range(10, 5, -1))), None)
        if older is None or run(older, "-c", "pass").code != 0:
            self.skipTest("there is no Python before 3.11")
        for tool in "gilwatch", "gilcheck":
            with self.subTest(tool):
                library = str(Path(PACKAGES) / tool / f"lib{tool}.so")
                outcome = run(older, "-c", "print(1)", env=environment(LD_PRELOAD=library))
                self.assertEqual((outcome.code, outcome.stdout), (0, "1\n"))
                self.assertRegex(
                    outcome.stderr, f"^{tool} cannot .* this Python: it is older than 3.11\n$"
                )

    def test_of_the_variable_is_nothing_to_a_program_without_python(self):
        variables = environment(LD_PRELOAD=LIBRARY, GILWATCH="soon")
        outcome = finish(start("/bin/echo", "hello", env=variables))
        self.assertEqual(outcome, (0, "hello\n", ""))

    def test_of_a_report_where_nobody_watches(self):
        outcome = finish(
            start(
                *(STOCK, "-c", "import gilwatch; gilwatch.report()"),
                env=environment(PYTHONPATH=PACKAGES),
            )
        )
        self.assertIn("call gilwatch.start() first", outcome.stderr)


if __name__ == "__main__":
    unittest.main()
