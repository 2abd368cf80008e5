"""The host under -X gilwatch: what is reported, what is not, and that nothing else changes."""

import itertools
import os
import re
import signal
import time
import unittest

from host import HOST, TIMEOUT, InFolder, environment, finish, run, start, wait_until_asleep

# Holds the GIL in a C call until a byte comes on standard input.
HOLD = """
import ctypes

def hold(library=ctypes.PyDLL(None)):
    library.read(0, ctypes.create_string_buffer(1), 1)
"""

# ThreadSanitizer delivers a signal at the thread's next call, not within one; allows no thread in
# the child of a process that had several; and reports threads that are left at the end.
IS_TSAN = run(HOST, "-c", "import ctypes; ctypes.CDLL(None).__tsan_init").code == 0
not_under_tsan = unittest.skipIf(IS_TSAN, "ThreadSanitizer cannot do it")


class Report(InFolder):
    """A script runs until gilwatch has reported, and then to its end."""

    def reports(self, script, *options, patience=0.3, count=1, env=None):
        """The reports on stderr. Each is waited for; then the GIL is released."""
        path = self.write("script.py", HOLD + script)
        if patience is not None:
            options = ("-X", f"gilwatch={patience}", *options)
        process = start(
            HOST, *options, path, cwd=self.folder, stdin=-1, env=environment(**(env or {}))
        )
        seen = ""
        while seen.count("gilwatch: ") < count:
            line = process.stderr.readline().decode()
            self.assertNotEqual(line, "", f"the program ended after {seen!r}")
            seen += line
        process.stdin.write(b"x" * 10)
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.stdout), (0, "done\n"))
        return (seen + outcome.stderr).split("gilwatch: ")[1:]

    @not_under_tsan
    def test_names_the_foo_that_waits_and_the_line_that_holds(self):
        (report,) = self.reports("""
import Foo
f = Foo.Foo(0.01, None)
f.start()
f.wait(1)
hold()
f.stop()
print("done")
""")
        self.assertRegex(
            report,
            r"^the main thread holds the GIL and waits for input or output in hold\(\) at "
            r"script\.py:5; 1 thread waits for it, [0-9.]+ s: thread 'Foo' in .*",
        )
        self.assertRegex(report, r"^.*thread 'Foo' in handoff::.*\n")
        self.assertIn(f'File "{self.folder}/script.py", line 5 in hold\n', report)
        self.assertIn(f'File "{self.folder}/script.py", line 11 in <module>\n', report)
        self.assertIn(
            "\n  do: release the GIL around what it waits in: call it through ctypes", report
        )

    def test_the_line_of_a_call_that_the_report_interrupts(self):
        """Asked for its C++ stack, the main thread is woken, and goes on while others are asked."""
        (report, *_) = self.reports("""
import threading
def nap(library=ctypes.PyDLL(None)):
    library.sleep(3)
ended = threading.Event()
for _ in range(20):
    threading.Thread(target=ended.wait).start()
nap()
hold()
ended.set()
print("done")
""")
        self.assertRegex(report, r"holds the GIL and sleeps in nap\(\) at script\.py:9; nobody")
        self.assertNotIn(" in hold\n", report)

    def test_a_gil_that_only_python_waits_for(self):
        (report,) = self.reports("""
import threading, time
ended, began = threading.Event(), threading.Event()
def sleeper():
    while not ended.is_set():
        began.set()
        time.sleep(0.001)
thread = threading.Thread(target=sleeper)
thread.start()
began.wait()
hold()
ended.set()
thread.join()
print("done")
""")
        self.assertRegex(report, r"in hold\(\) at .*; 1 thread waits for it, .* in sleeper\(\) at")
        self.assertIn(" in sleeper\n", report)

    @not_under_tsan
    def test_a_holder_that_is_not_the_main_thread(self):
        (report,) = self.reports("""
import threading
thread = threading.Thread(target=hold)
thread.start()
thread.join()
print("done")
""")
        self.assertRegex(
            report,
            r"^thread 'Thread-1 \(hold\)' holds the GIL and .*in hold.* 1 thread waits .* the main "
            "thread in",
        )

    def test_again_when_the_time_has_doubled_and_not_before(self):
        reports = self.reports("hold()\nprint('done')", count=3, patience=0.1)
        waited = [float(re.search(r"after ([0-9.]+) s", report)[1]) for report in reports]
        for earlier, later in itertools.pairwise(waited):
            self.assertGreaterEqual(later + 0.01, 2 * earlier)  # each rounded

    def test_another_wait_is_another_report(self):
        script = self.write(
            "script.py", HOLD + "import time\nhold()\ntime.sleep(1)\nhold()\nprint('done')"
        )
        process = start(HOST, "-X", "gilwatch=0.3", script, stdin=-1, cwd=self.folder)
        for _ in range(2):
            seen = ""
            while "gilwatch: " not in seen:
                line = process.stderr.readline().decode()
                self.assertNotEqual(line, "", seen)
                seen = line
            self.assertRegex(seen, r"after 0\.[3-9]")
            process.stdin.write(b"x")
            process.stdin.flush()
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.stdout), (0, "done\n"))

    def test_by_its_former_name(self):
        option = ("-X", "handoff-watchdog=0.3")
        self.reports("hold()\nprint('done')", *option, patience=None)

    def test_by_the_environment(self):
        self.reports("hold()\nprint('done')", patience=None, env={"HANDOFF_WATCHDOG": "0.3"})

    def test_a_thread_that_blocks_signals_is_named_without_its_stack(self):
        (report,) = self.reports("""
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
hold()
print("done")
""")
        self.assertRegex(
            report,
            r"^the main thread holds the GIL and does not answer \(it blocks signal [0-9]+\) in "
            r"hold\(\) at script\.py:5; nobody",
        )

    def test_a_signal_that_somebody_else_took(self):
        """It is not sent then: it would run their handler, or end the program."""
        (report,) = self.reports("""
import signal
for number in range(signal.SIGRTMIN, signal.SIGRTMAX + 1):
    signal.signal(number, signal.SIG_DFL)
hold()
print("done")
""")
        self.assertRegex(report, "^the main thread holds the GIL")
        self.assertRegex(report, "somebody else handles signal [0-9]+ now\n")

    @not_under_tsan
    def test_in_the_child_of_a_fork(self):
        (report,) = self.reports(
            """
import os
child = os.fork()
if child == 0:
    open("child", "w").write(str(os.getpid()))
    hold()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("done")
""",
            "-Wignore",  # since 3.12 a fork warns of more than one thread
        )
        child = (self.folder / "child").read_text()
        self.assertIn(f"the main thread, tid {child}, holds the GIL", report)
        self.assertIn(" in hold\n", report)

    def test_in_an_atexit_function(self):
        (report,) = self.reports("""
import atexit
atexit.register(lambda: (hold(), print("done")))
""")
        self.assertIn(" in hold\n", report)

    def test_beside_the_users_own_faulthandler(self):
        (report,) = self.reports("""
import faulthandler, os, signal, sys
faulthandler.enable()
faulthandler.register(signal.SIGUSR1)
hold()
os.kill(os.getpid(), signal.SIGUSR1)
assert faulthandler.is_enabled() and faulthandler.unregister(signal.SIGUSR1)
print("done")
""")
        self.assertIn(" in hold\n", report)
        self.assertIn('script.py", line 11 in <module>\n', report)


class NoReport(InFolder):
    """What gilwatch does not change."""

    def test_in_a_healthy_busy_program(self):
        outcome = self.host(
            "-Xgilwatch=1",
            "-c",
            """
import Foo, threading, time
foos = [Foo.Foo(0.001, None if n % 2 else (lambda n: None)) for n in range(20)]
for f in foos: f.start()
end = time.monotonic() + 3
def busy():
    while time.monotonic() < end: sum(range(1000))
threads = [threading.Thread(target=busy) for _ in range(3)]
for t in threads: t.start()
busy()
for t in threads: t.join()
for f in foos: f.stop()
""",
        )
        self.assertEqual(outcome, (0, "", ""))

    def test_while_the_gil_is_free(self):
        """Asleep, waiting for a Foo, or at the end of the input: nobody waits for the GIL."""
        outcome = self.host(
            "-Xgilwatch=0.05",
            "-c",
            """
import Foo, time
time.sleep(0.3)
f = Foo.Foo(1000, None)
f.start()
f.wait(2, 0.3)
""",
        )
        self.assertEqual(outcome, (0, "", ""))

    def test_of_a_program_that_was_stopped_and_continued(self):
        script = self.write(
            "script.py",
            """
            import Foo
            foos = [Foo.Foo(0.001, None) for n in range(5)]
            for f in foos: f.start()
            print(1, flush=True)
            f = foos[0]
            n = len(f.messages)
            while len(f.messages) < n + 3000: sum(range(1000))
            """,
        )
        process = start(HOST, "-X", "gilwatch=0.5", script, cwd=self.folder)
        process.stdout.readline()
        for _ in range(3):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.8)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.1)
        self.assertEqual(finish(process), (0, "", ""))

    def test_and_the_same_end(self):
        """Exit codes and output are those of the program that is not watched."""
        self.ends_alike(
            "import sys; sys.exit(3)",
            "1 / 0",
            "import os; os._exit(4)",
            "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
            "raise KeyboardInterrupt",
            "import atexit; atexit.register(lambda: 1 / 0)",
            "import threading; threading.Thread(target=print, args=[1]).start()",
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=[99], daemon=True).start()",
            "import Foo; f = Foo.Foo(0.01, None); f.start(); f.wait(3)",
        )

    @not_under_tsan
    def test_and_the_same_end_of_a_program_that_forks(self):
        self.ends_alike(
            "import os\npid = os.fork()\nos.waitpid(pid, 0) if pid else None",
            "import subprocess; subprocess.run(['true'], preexec_fn=lambda: None)",
            "import multiprocessing as m\nm.set_start_method('fork')\n"
            "p = m.Process(target=print, args=[1], kwargs={'flush': True})\np.start(); p.join()",
        )

    def ends_alike(self, *programs):
        for program in programs:
            with self.subTest(program):
                # Since 3.12 a fork warns of more than one thread.
                options = ("-Wignore", "-c", program)
                begin = time.monotonic()
                watched = self.host("-X", "gilwatch=60", *options)
                self.assertLess(time.monotonic() - begin, TIMEOUT / 2)
                self.assertEqual(watched, self.host(*options))

    def test_and_the_same_exit_code_beside_a_busy_daemon_thread(self):
        # Where CPython ends it at exit, LeakSanitizer misses what it had on its stack.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        program = """
import sys, threading
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
sys.exit(3)
"""
        begin = time.monotonic()
        env = environment(ASAN_OPTIONS=sanitizer)
        outcome = self.host("-X", "gilwatch=60", "-c", program, env=env)
        self.assertEqual(outcome, (3, "", ""))
        self.assertLess(time.monotonic() - begin, TIMEOUT / 2)

    def test_and_the_same_closed_streams(self):
        for streams in ("2>&-", "<&- >&- 2>&-"):
            with self.subTest(streams):
                command = f'exec "$0" -X gilwatch=1 -c "import sys; sys.exit(3)" {streams}'
                self.assertEqual(run("sh", "-c", command, HOST), (3, "", ""))

    def test_in_a_file_that_took_the_place_of_a_closed_stderr(self):
        hold = "import os\nwith open('file', 'w') as file:\n    os.dup2(file.fileno(), 2)\nhold()"
        script = self.write("script.py", HOLD + hold)
        command = f'sleep 1 | "$0" -X gilwatch=0.1 {script} 2>&-'
        self.assertEqual(run("sh", "-c", command, HOST, cwd=self.folder), (0, "", ""))
        self.assertEqual((self.folder / "file").read_text(), "")

    def test_and_the_same_reaction_to_ctrl_c(self):
        program = "import time; print(flush=True); time.sleep(60)"
        process = start(HOST, "-X", "gilwatch=60", "-c", program)
        process.stdout.readline()
        wait_until_asleep(process)
        process.send_signal(signal.SIGINT)
        outcome = finish(process)
        self.assertEqual(outcome.code, -signal.SIGINT)
        self.assertIn("KeyboardInterrupt", outcome.stderr)


class Asking(InFolder):
    WRONG = ("abc", "0", "-1", "inf", "nan", "1e999", "1x", " 1", "1,5", "0x1", "5,signal=9")
    NAMES = """
import pathlib
names = [each.read_text().strip() for each in pathlib.Path("/proc/self/task").glob("*/comm")]
print(sorted(name for name in names if name == "gilwatch"))
"""

    def assert_refused(self, outcome, source, value):
        self.assertEqual((outcome.code, outcome.stdout), (2, ""))
        self.assertRegex(outcome.stderr, rf"^handoff: {source}: .* '{re.escape(value)}'\n$")

    def test_an_option_that_is_no_setting(self):
        for name in ("gilwatch", "handoff-watchdog"):
            for value in self.WRONG:
                with self.subTest(name, value=value):
                    outcome = self.host("-X", f"{name}={value}", "-c", "print(1)")
                    self.assert_refused(outcome, f"-X {name}", value)

    def test_an_environment_that_is_no_setting(self):
        for value in self.WRONG:
            with self.subTest(value):
                outcome = self.host("-c", "print(1)", env=environment(HANDOFF_WATCHDOG=value))
                self.assert_refused(outcome, "HANDOFF_WATCHDOG", value)

    def test_an_empty_environment_asks_for_nothing(self):
        outcome = self.host("-c", self.NAMES, env=environment(HANDOFF_WATCHDOG=""))
        self.assertEqual(outcome, (0, "[]\n", ""))

    def test_options_that_ignore_the_environment(self):
        for option in ("-E", "-I"):
            with self.subTest(option):
                env = environment(HANDOFF_WATCHDOG="wrong")
                self.assertEqual(self.host(option, "-c", "print(1)", env=env), (0, "1\n", ""))

    def test_the_option_wins_over_the_environment(self):
        env = environment(HANDOFF_WATCHDOG="wrong")
        outcome = self.host("-X", "gilwatch=5", "-c", self.NAMES, env=env)
        self.assertEqual(outcome, (0, "['gilwatch']\n", ""))

    def test_its_thread_has_a_name(self):
        for option in ("gilwatch", "gilwatch=5", "handoff-watchdog", "handoff-watchdog=5"):
            with self.subTest(option):
                outcome = self.host("-X", option, "-c", self.NAMES)
                self.assertEqual(outcome, (0, "['gilwatch']\n", ""))
        self.assertEqual(self.host("-c", self.NAMES), (0, "[]\n", ""))

    def test_beside_the_other_tools(self):
        tools = ("-X", "gilcheck", "-X", f"giltrace={self.folder}/trace.html", "-X", "gilwatch=5")
        outcome = self.host(*tools, "-c", self.NAMES)
        self.assertEqual((outcome.code, outcome.stdout), (0, "['gilwatch']\n"))
        self.assertTrue((self.folder / "trace.html").exists())


if __name__ == "__main__":
    unittest.main()
