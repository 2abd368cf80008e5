"""Leaving the program while Foos run: in order, nothing lost, and with the same exit code.

HANDOFF_REPEAT=100 leaves that often in each way.
"""

import json
import os
import signal

from host import HOST, STOCK, InFolder, Terminal, environment, finish, start, wait_until_asleep

REPEAT = int(os.environ.get("HANDOFF_REPEAT", "3"))

# Stands in for Foo in the stock interpreter, so that the program is the same to the letter.
NO_FOO = """
class Foo:
    def __init__(self, interval, on_message): self.messages = []
    def start(self): pass
    def wait(self, count, timeout=0): __import__("time").sleep(timeout)
"""

# Registered before Foo is imported, report() runs after Foo's own hook: what it sees is final.
TEN_FOOS = """
import atexit, json, signal, sys, time

signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))

@atexit.register
def report():
    now = time.monotonic_ns()
    rows = [(f.messages, *row) for f, row in zip(foos, rows_of_foos)]
    with open("report.json", "w") as file:
        json.dump((end, now, rows), file)

import Foo

foos, rows_of_foos, end = [], [], None
for n in range(10):
    called = None if n % 2 else []
    f = Foo.Foo(0.001, called if called is None else called.append)
    before = time.monotonic_ns()
    f.start()
    foos.append(f)
    rows_of_foos.append((called, before, time.monotonic_ns()))
"""

LEAVE = """
f.wait(5)
try:
    {}
finally:
    end = time.monotonic_ns()
"""


class WhileTenFoosRun(InFolder):
    """The host must end as the stock interpreter does, which has no Foo."""

    def setUp(self):
        super().setUp()
        self.write("Foo.py", NO_FOO)
        self.report = self.folder / "report.json"

    def check_report(self):
        """Every message due before the end of the script came, and none before it was due."""
        end, now, rows = json.loads(self.report.read_text())
        self.report.unlink()
        self.assertEqual(len(rows), 10)
        for messages, called, before, after in rows:
            self.assertEqual(messages, list(range(len(messages))))
            self.assertIn(called, (None, messages))
            self.assertGreaterEqual(len(messages), (end - after) // 1_000_000 + 1)
            self.assertLessEqual(len(messages), (now - before) // 1_000_000 + 1)

    def leave(self, leave, code, *options, act=None, stdin=None, whole=True):
        """Leaves again and again; `act` is done to the process when it has printed a line."""
        script = self.write("script.py", TEN_FOOS + LEAVE.replace("{}", leave))

        def outcome(program):
            variables = environment(PYTHONPATH=str(self.folder))
            pipe = {} if stdin is None else {"stdin": -1}
            process = start(program, *options, script, cwd=self.folder, env=variables, **pipe)
            if act:
                process.stdout.readline()
                act(process)
            ended = finish(process, stdin)
            return ended if whole else ended._replace(stderr=ended.stderr.splitlines()[-1:])

        stock = outcome(STOCK)
        self.assertEqual(stock.code, code)
        self.report.unlink()
        for _ in range(REPEAT):
            self.assertEqual(outcome(HOST), stock)
            self.check_report()

    def test_end_of_script(self):
        self.leave("pass", 0)

    def test_end_of_script_in_development_mode(self):
        self.leave("pass", 0, "-X", "dev")

    def test_exit_code(self):
        self.leave("sys.exit(3)", 3)

    def test_exit_with_a_text(self):
        self.leave("sys.exit('text')", 1)

    def test_uncaught_exception(self):
        self.leave("1 / 0", 1)

    def test_error_in_atexit(self):
        self.leave("atexit.register(lambda: 1 / 0)", 0)

    def signalled(self, number, code, waiting):
        # Waits in a loop: a signal that comes just before a wait begins is seen when that ends.
        forever = f"print(1, flush=True)\n    while True: {waiting}"
        self.leave(forever, code, act=lambda process: process.send_signal(number), whole=False)

    def test_ctrl_c_while_asleep(self):
        self.signalled(signal.SIGINT, -signal.SIGINT, "time.sleep(0.05)")

    def test_ctrl_c_while_busy(self):
        self.signalled(signal.SIGINT, -signal.SIGINT, "pass")

    def test_ctrl_c_while_waiting_for_foo(self):
        self.signalled(signal.SIGINT, -signal.SIGINT, "f.wait(10**9, 0.05)")

    def test_exit_in_a_signal_handler(self):
        self.signalled(signal.SIGTERM, 7, "time.sleep(0.05)")

    def test_end_of_input_after_the_script(self):
        self.leave("pass", 0, "-i", stdin=b"end = time.monotonic_ns()\n")

    def test_with_a_backlog(self):
        """The script does not hand the GIL over for its last moments."""
        alone = "sys.setswitchinterval(600)\n    f.wait(len(f.messages) + 5)"
        self.leave(f"{alone}\n    sum(range(2 * 10**6))", 0)

    def test_ctrl_d_at_the_prompt(self):
        self.write("script.py", TEN_FOOS)

        def outcome(program):
            variables = environment(PYTHONPATH=str(self.folder), HOME=str(self.folder))
            terminal = Terminal(program, env=variables, cwd=self.folder)
            self.addCleanup(terminal.close)
            terminal.read_until(">>> ")
            for line in ("exec(open('script.py').read())", "end = time.monotonic_ns()"):
                terminal.send(line + "\n")
                terminal.read_until(">>> ")
            terminal.send("\x04")
            code, rest = terminal.finish()
            return code, rest.strip()

        stock = outcome(STOCK)
        self.assertEqual(stock, (0, ""))
        self.report.unlink()
        for _ in range(REPEAT):
            self.assertEqual(outcome(HOST), stock)
            self.check_report()

    def test_a_thousand_foos(self):
        script = """
import atexit
@atexit.register
def report():
    print(sum(f.running for f in foos), min(map(len, foos)) > 0)
import Foo
foos = [Foo.Foo(0.05, None) for _ in range(1000)]
for f in foos: f.start()
"""
        for _ in range(REPEAT):
            self.assertEqual(self.host("-c", script), (0, "0 True\n", ""))


class AtExit(InFolder):
    def ends(self, script, stdout="", code=0):
        """Runs the script again and again: its output, nothing on stderr."""
        path = self.write("script.py", script)
        for _ in range(REPEAT):
            self.assertEqual(self.host(path), (code, stdout, ""))

    def test_foo_in_a_reference_cycle(self):
        self.ends("""
            import Foo
            class Holder: pass
            holder = Holder()
            holder.foo = Foo.Foo(0.001, lambda n, holder=holder: None)
            holder.foo.start()
            holder.foo.wait(3)
            del holder
        """)

    def test_foo_that_only_its_module_knows(self):
        self.write("keeper.py", "import Foo\nf = Foo.Foo(0.001, None)\nf.start()\nf.wait(3)\n")
        self.ends("import keeper")

    def test_first_message_of_a_script_that_ends_at_once(self):
        self.ends("import Foo; f = Foo.Foo(3600); f.start()", "0\n")

    def test_what_foo_prints_is_not_lost(self):
        path = self.write(
            "script.py",
            """
            import atexit, sys
            atexit.register(lambda: print(len(f), file=sys.stderr))
            import Foo
            f = Foo.Foo(0.001)
            f.start()
            f.wait(20)
            """,
        )
        for _ in range(REPEAT):
            outcome = self.host(path)
            lines = "".join(f"{n}\n" for n in range(int(outcome.stderr)))
            self.assertEqual((outcome.code, outcome.stdout), (0, lines))

    def test_callback_in_progress_is_waited_for(self):
        # The callbacks block until Foo's hook has begun to stop them, and are seen to return.
        self.ends(
            """
            import atexit, os, threading
            returned = []
            atexit.register(lambda: print(sorted(returned), any(f.running for f in foos)))
            import Foo
            entered, release = threading.Semaphore(0), threading.Event()
            def block(number, n):
                entered.release()
                release.wait()
                returned.append(number)
            foos = [Foo.Foo(3600, lambda n, i=i: block(i, n)) for i in range(5)]
            for f in foos: f.start()
            for f in foos: entered.acquire()
            def let_go():
                while any(f.running for f in foos): os.sched_yield()
                release.set()
            threading.Thread(target=let_go, daemon=True).start()
            """,
            "[0, 1, 2, 3, 4] False\n",
        )

    def test_ctrl_c_ends_the_wait_for_a_callback_that_never_returns(self):
        path = self.write(
            "script.py",
            """
            import atexit, threading
            in_callback = threading.Event()
            from Foo import Foo
            f = Foo(1, lambda n: (in_callback.set(), threading.Event().wait()))
            f.start()
            in_callback.wait()
            atexit.register(print, "leaving", flush=True)
            """,
        )
        process = start(HOST, path)
        self.assertEqual(process.stdout.readline(), b"leaving\n")
        wait_until_asleep(process)  # in Foo's hook, which comes next
        process.send_signal(signal.SIGINT)
        outcome = finish(process)
        self.assertEqual(outcome.code, 0)
        self.assertIn("KeyboardInterrupt", outcome.stderr)

    def test_what_cannot_be_delivered_in_time_is_given_up_and_told(self):
        path = self.write(
            "script.py",
            """
            import threading, time
            from Foo import Foo
            sorting, never = threading.Event(), threading.Event()
            f = Foo(0.001, None)
            f.start()
            f.wait(3)
            key = lambda n: (sorting.set(), never.wait())
            threading.Thread(target=f.messages.sort, kwargs={"key": key}, daemon=True).start()
            sorting.wait()
            end = time.monotonic() + 0.01
            while time.monotonic() < end: pass  # several fall due
            """,
        )
        outcome = self.host(path)
        self.assertEqual((outcome.code, outcome.stdout), (0, ""))
        self.assertIn("1 Foo(s) had messages due that could not be delivered", outcome.stderr)

    def test_start_after_the_end_is_refused(self):
        self.ends(
            """
            import atexit
            @atexit.register
            def late():
                for late_one in f, Foo.Foo(0.001, None):
                    try:
                        late_one.start()
                    except RuntimeError as error:
                        print(type(error).__name__)
                    print(late_one.running, len(late_one) > 2, late_one.wait(10**9))
                    late_one.stop()
            import Foo
            f = Foo.Foo(0.001, None)
            f.start()
            f.wait(3)
            """,
            "RuntimeError\nFalse True False\nRuntimeError\nFalse False False\n",
        )

    def test_start_in_an_earlier_atexit_function(self):
        self.ends(
            """
            import atexit
            atexit.register(lambda: print(len(f) >= 20, f.running))
            import Foo
            f = Foo.Foo(0.001, None)
            atexit.register(lambda: (f.start(), f.wait(20)))
            """,
            "True False\n",
        )

    def test_start_from_a_callback_in_progress_is_refused(self):
        self.ends(
            """
            import atexit, os, threading
            atexit.register(lambda: print(type(f.error).__name__, g.running))
            import Foo
            threading.excepthook = lambda error: None
            entered = threading.Event()
            def start_late(n):
                entered.set()
                while f.running: os.sched_yield()
                g.start()
            f, g = Foo.Foo(3600, start_late), Foo.Foo(0.001, None)
            f.start()
            entered.wait()
            """,
            "RuntimeError False\n",
        )

    def test_error_in_a_callback_without_threading(self):
        path = self.write(
            "script.py",
            """
            import Foo
            def fail(n): 1 / 0
            f = Foo.Foo(0.001, fail)
            f.start()
            while f.running: pass
            import threading
            assert threading.current_thread() is threading.main_thread()
            print(f.running, repr(f.error))
            """,
        )
        for _ in range(REPEAT):
            outcome = self.host(path)
            self.assertEqual(outcome.code, 0)
            self.assertEqual(outcome.stdout, "False ZeroDivisionError('division by zero')\n")
            self.assertEqual(outcome.stderr.count("Traceback"), 1)
            self.assertTrue(outcome.stderr.endswith("\nZeroDivisionError: division by zero\n"))

    def test_system_exit_in_a_callback_ends_its_foo_only(self):
        self.ends(
            """
            import sys, Foo
            f = Foo.Foo(0.001, lambda n: sys.exit(5))
            f.start()
            f.wait(2)
            print(f.running, repr(f.error))
            sys.exit(4)
            """,
            "False SystemExit(5)\n",
            code=4,
        )

    def test_thread_that_outlives_the_script(self):
        self.ends(
            """
            import threading, Foo
            f = Foo.Foo(0.001, None)
            f.start()
            def late():
                threading.main_thread().join()
                print(f.running, f.wait(len(f) + 20, 60))
            threading.Thread(target=late).start()
            """,
            "True True\n",
        )

    def test_destructors_after_the_end(self):
        self.ends(
            """
            import Foo
            class Last:
                def __init__(self, foo): self.foo = foo
                def __del__(self):
                    self.foo.stop()
                    print(self.foo.running, len(self.foo) > 2, repr(self.foo)[:9])
            last = Last(Foo.Foo(0.001, None))
            last.cycle = last
            last.foo.start()
            last.foo.wait(3)
            """,
            "False True <Foo.Foo \n",
        )

    def test_daemon_threads_that_wait_for_foos(self):
        self.ends("""
            import threading, Foo
            foos = [Foo.Foo(0.001, None) for _ in range(10)]
            for f in foos:
                f.start()
                threading.Thread(target=f.wait, args=[10**9], daemon=True).start()
            foos[-1].wait(5)
        """)

    def test_daemon_threads_that_stop_foos(self):
        # Endless calls from C: wherever these threads are at the end, it is within stop().
        self.ends("""
            import collections, threading, Foo
            f = Foo.Foo(0.001, None)
            f.start()
            f.wait(3)
            for _ in range(3):
                calls = iter(f.stop, "never")
                threading.Thread(target=collections.deque, args=[calls, 0], daemon=True).start()
        """)

    def test_daemon_threads_that_start_and_stop_foos(self):
        self.ends("""
            import threading, Foo
            busy = threading.Semaphore(0)
            def use():
                while True:
                    f = Foo.Foo(0.0001, None)
                    try:
                        f.start()
                    except RuntimeError:
                        pass  # it is too late
                    f.wait(3)
                    f.stop()
                    busy.release()
            for _ in range(4):
                threading.Thread(target=use, daemon=True).start()
            for _ in range(20):
                busy.acquire()
        """)
