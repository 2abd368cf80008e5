"""Callbacks and hooks that do something odd, a process that is stopped, a rate beyond the machine.

Run by the host. Nothing of it may cost a message, another Foo, or the process.
"""

import contextlib
import functools
import io
import itertools
import os
import select
import signal
import subprocess
import sys
import threading
import unittest
from pathlib import Path
from unittest import mock

from Foo import Foo

ONCE = 3600.0  # an interval of which a test sees the first message only
PATIENCE = 10.0  # seconds until a test that hangs fails


def numbers(count):
    return list(range(count))


def run(script, *arguments, **options):
    """A host of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
        **options,
    )


class BadLuck(unittest.TestCase):
    def run_beside_another(self, f):
        """One run of f's, until it ends by itself, while another Foo goes on."""
        with Foo(0.001, None) as other:
            f.start()
            self.assertFalse(f.wait(10**9, PATIENCE))
            self.assertFalse(f.running)
            self.assertTrue(other.wait(len(other) + 5, PATIENCE))
            self.assertTrue(other.running)
        self.assertEqual(other.messages, numbers(len(other)))
        self.assertIsNone(other.error)
        self.assertEqual(f.messages, numbers(len(f)))

    def check_goes_on(self, f):
        """It can be started again, and goes on where it was."""
        count = len(f)
        with f:
            self.assertTrue(f.wait(count + 3, PATIENCE))
        self.assertIsNone(f.error)
        self.assertEqual(f.messages, numbers(len(f)))

    def end_by(self, fail, hook=lambda arguments: None):
        """A Foo whose message 2 calls fail(); it is stopped then."""
        f = Foo(0.001, lambda n: fail() if n == 2 else None)
        with mock.patch.object(threading, "excepthook", hook):
            self.run_beside_another(f)
        self.assertEqual(len(f), 3)
        return f


class Raising(BadLuck):
    def test_any_kind_of_exception_ends_its_foo_only(self):
        class OfItsOwn(BaseException):
            pass

        for kind in (GeneratorExit, KeyboardInterrupt, SystemExit, StopIteration, OfItsOwn):
            with self.subTest(kind):

                def fail(kind=kind):
                    raise kind

                f = self.end_by(fail)
                self.assertIs(type(f.error), kind)
                self.check_goes_on(f)

    def test_an_exception_that_cannot_be_made(self):
        class BrokenError(Exception):
            def __init__(self):
                raise LookupError("in its __init__")

        def fail():
            raise BrokenError

        self.assertIsInstance(self.end_by(fail).error, LookupError)

    def test_an_exception_that_cannot_be_shown(self):
        class BrokenError(Exception):
            def __str__(self):
                raise LookupError

            __repr__ = __str__

            @property
            def __class__(self):
                raise LookupError

        def fail():
            raise BrokenError

        with mock.patch.object(sys, "unraisablehook", lambda it: None):
            f = self.end_by(fail)
        self.assertIs(type(f.error), BrokenError)
        self.check_goes_on(f)

    def test_endless_recursion(self):
        def in_python():
            in_python()

        class InC:
            def __call__(self):
                return functools.partial(self)()

            def __repr__(self):
                return repr([self])

        def in_key(_=None):
            sorted([1], key=in_key)

        for recurse in (in_python, InC(), functools.partial(repr, InC()), in_key):
            with self.subTest(recurse):
                f = self.end_by(recurse)
                self.assertIsInstance(f.error, RecursionError)
                self.check_goes_on(f)

    def test_start_while_it_runs(self):
        f = Foo(0.001, lambda n: f.start() if n == 2 else None)
        with mock.patch.object(threading, "excepthook", lambda arguments: None):
            self.run_beside_another(f)
        self.assertRegex(str(f.error), "running already")
        self.check_goes_on(f)


def fail():
    raise ValueError("the first")


class Hooks(BadLuck):
    """What is to report an error fails itself: the error is kept all the same."""

    def check(self, hook, unraisable=lambda it: None):
        with mock.patch.object(sys, "unraisablehook", unraisable):
            f = self.end_by(fail, hook)
        self.assertEqual(str(f.error), "the first")
        self.check_goes_on(f)

    def test_excepthook_raises_anything(self):
        for kind in (LookupError, KeyboardInterrupt, SystemExit, GeneratorExit):

            def hook(arguments, kind=kind):
                raise kind

            self.check(hook)

    def test_excepthook_and_unraisablehook_raise(self):
        def hook(it):
            raise LookupError

        with mock.patch.object(sys, "stderr", io.StringIO()):
            self.check(hook, hook)

    def test_excepthook_is_none_of(self):
        for hook in (None, 1, "text"):
            self.check(hook)

    def test_excepthook_is_gone(self):
        hook = threading.excepthook
        del threading.excepthook
        self.addCleanup(setattr, threading, "excepthook", hook)
        f = Foo(0.001, lambda n: fail() if n == 2 else None)
        with mock.patch.object(sys, "unraisablehook", lambda it: None):
            self.run_beside_another(f)
        self.assertEqual(str(f.error), "the first")

    def test_standard_error_is_none_or_broken(self):
        class Broken(io.StringIO):
            def write(self, text):
                raise OSError("no room")

        closed = io.StringIO()
        closed.close()
        for stderr in (None, Broken(), closed, object()):
            with self.subTest(stderr), mock.patch.object(sys, "stderr", stderr):
                self.check(threading.__excepthook__)

    def test_sys_excepthook_is_not_asked(self):
        calls = []
        with mock.patch.object(sys, "excepthook", lambda *_: calls.append(1) or 1 / 0):
            self.check(lambda arguments: None)
        self.assertEqual(calls, [])

    def test_excepthook_stops_and_drops_the_foo(self):
        done = threading.Event()

        def hook(arguments):
            holder[0].stop()
            holder.clear()
            done.set()

        with mock.patch.object(threading, "excepthook", hook), Foo(0.001, None) as other:
            holder = [Foo(0.001, lambda n: fail())]
            holder[0].start()
            self.assertTrue(done.wait(PATIENCE))
            self.assertTrue(other.wait(len(other) + 5, PATIENCE))


class WithoutItsModule(unittest.TestCase):
    def test_threading_an_error_is_told_and_the_end_is_in_order(self):
        """A native thread that imported it anew would be Python's main thread to it."""
        ended = run(
            "import sys, threading; from Foo import Foo; del sys.modules['threading'], threading\n"
            "def fail(n): raise LookupError(n)\n"
            "f = Foo(1, fail)\n"
            "f.start()\n"
            "print(f.wait(2), type(f.error))\n"
        )
        self.assertEqual((ended.returncode, ended.stdout), (0, "False <class 'LookupError'>\n"))
        self.assertRegex(
            ended.stderr, r"\AException in thread \S+:\nTraceback(?s:.*)LookupError: 0\n\Z"
        )


class StandardOutput(BadLuck):
    """It changes under the eyes of a Foo that prints."""

    def setUp(self):
        contexts = contextlib.ExitStack()
        self.addCleanup(contexts.close)
        contexts.enter_context(mock.patch.object(threading, "excepthook", lambda arguments: None))
        self.out = contexts.enter_context(contextlib.redirect_stdout(io.StringIO()))

    def printing(self, then):
        """A Foo that prints, and calls then() after message 2."""

        def on_message(n):
            print(n)
            if n == 2:
                then()

        return Foo(0.001, on_message)

    def test_replaced_in_on_message(self):
        new = io.StringIO()
        f = self.printing(lambda: setattr(sys, "stdout", new))
        with f:
            self.assertTrue(f.wait(6, PATIENCE))
        self.assertEqual(self.out.getvalue(), "0\n1\n2\n")
        self.assertEqual(new.getvalue(), "".join(f"{n}\n" for n in f.messages[3:]))

    def test_closed_in_on_message(self):
        f = self.printing(lambda: sys.stdout.close())
        self.run_beside_another(f)
        self.assertRegex(str(f.error), "closed file")
        self.assertEqual(len(f), 4)
        sys.stdout = io.StringIO()
        f.messages[:] = numbers(4)
        self.check_goes_on(f)

    def test_closed_while_the_default_prints(self):
        f = Foo(0.001)
        f.start()
        self.assertTrue(f.wait(3, PATIENCE))
        self.out.close()
        self.assertFalse(f.wait(10**9, PATIENCE))
        self.assertIsInstance(f.error, ValueError)
        sys.stdout = io.StringIO()
        self.check_goes_on(f)

    def test_none(self):
        with mock.patch.object(sys, "stdout", None):
            self.check_goes_on(Foo(0.001))

    def test_deleted(self):
        f = self.printing(lambda: delattr(sys, "stdout"))
        self.run_beside_another(f)
        self.assertRegex(str(f.error), "lost sys.stdout")
        sys.stdout = self.out
        self.assertEqual(len(f), 4)

    def test_that_stops_its_foo_when_written_to(self):
        class Stopping(io.StringIO):
            def write(self, text):
                f.stop()
                return super().write(text)

        sys.stdout = Stopping()
        f = Foo(0.001)
        f.start()
        self.assertFalse(f.wait(2, PATIENCE))
        self.assertEqual((f.messages, sys.stdout.getvalue()), ([0], "0\n"))


class Signals(unittest.TestCase):
    def test_a_handler_that_forks_within_wait(self):
        """The child's wait() is told that its Foo has stopped; the parent's goes on."""
        done = run("""
import os, signal, warnings
from Foo import Foo

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
child = None

def fork(*_):
    global child
    child = os.fork()

signal.signal(signal.SIGUSR1, fork)
f = Foo(0.001, lambda n: os.kill(os.getpid(), signal.SIGUSR1) if n == 20 else None)
f.start()
delivered = f.wait(500)
if child == 0:
    with f:
        goes_on = f.wait(len(f) + 3)
    os._exit(0 if not delivered and goes_on and f.messages == list(range(len(f))) else 1)
f.stop()
print(delivered, os.waitpid(child, 0)[1], f.messages == list(range(len(f))))
""")
        self.assertEqual((done.stdout, done.stderr), ("True 0 True\n", ""))

    def test_stopped_for_five_seconds(self):
        """SIGSTOP, SIGCONT: what fell due meanwhile is delivered, counted against the clock."""
        script = """
import sys, threading, time
from Foo import Foo

interval, leeway = 10_000_000, 100_000  # nanoseconds
calls, timeouts = [], []
foos = [Foo(0.01, None), Foo(0.01, calls.append)]
before_start = time.monotonic_ns()
for f in foos:
    f.start()
after_start = time.monotonic_ns()
waiter = threading.Thread(target=lambda: timeouts.append(foos[0].wait(10**9, 3)))
waiter.start()
print("ready", flush=True)
sys.stdin.readline()
now = time.monotonic_ns()
owed = (now - after_start - leeway) // interval + 1
waiter.join()
print(owed, timeouts, *(f.wait(owed, 2) for f in foos))  # they would need five to fall due anew
for f in foos:
    f.stop()
    due = (time.monotonic_ns() - before_start) // interval + 1
    assert f.messages == list(range(len(f))) and owed <= len(f) <= due, (owed, len(f), due)
assert calls == foos[1].messages
"""
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            self.addCleanup(process.kill)
            self.assertEqual(process.stdout.readline(), "ready\n")
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            self.assertEqual(select.select([process.stdout], [], [], 5), ([], [], []))
            process.send_signal(signal.SIGCONT)
            stdout, stderr = process.communicate("go on\n", 3 * PATIENCE)
        self.assertEqual((stderr, process.returncode), ("", 0))
        owed, *rest = stdout.split()
        self.assertGreaterEqual(int(owed), 500)
        self.assertEqual(rest, ["[False]", "True", "True"])


class Overload(unittest.TestCase):
    """More is asked for than the machine can do: memory, threads and the GIL stay in bounds."""

    def overload(self, count):
        counter = itertools.count()
        foos = []

        def callback(index):
            def on_message(n):
                next(counter)
                foos[index].messages.clear()

            return on_message

        def turns_of_this_thread(calls):
            """How often it gets the GIL before that many calls have been made."""
            turns, seen = 0, 0
            while seen < calls:
                last, seen = seen, int(repr(counter)[6:-1])  # count(n)
                turns += seen != last
            return turns

        def resident():
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")

        def threads():
            return len(list(Path("/proc/self/task").iterdir()))

        foos += [Foo(1e-9, callback(index)) for index in range(count)]
        before = threads()
        for f in foos:
            f.start()
            self.addCleanup(f.stop)
        turns_of_this_thread(50_000)
        first = resident()
        self.assertGreater(turns_of_this_thread(250_000), 5)
        self.assertLess(resident() - first, 4 << 20)
        self.assertLessEqual(threads(), before + 16)  # scheduler::most_threads
        for f in foos:
            self.assertTrue(f.running)
            f.stop()
            self.assertIsNone(f.error)

    def test_by_one_foo(self):
        self.overload(1)

    def test_by_many_foos(self):
        self.overload(100)


class Import(unittest.TestCase):
    def test_that_failed_may_be_tried_again(self):
        """The Foo of the second try is closed at exit like any other."""
        done = run("""
import atexit, sys
atexit.register(lambda: print(f.running, f.messages == list(range(len(f)))))
sys.modules["threading"] = None
try:
    import Foo
except ImportError as error:
    print(error.name)
del sys.modules["threading"]
from Foo import Foo
f = Foo(0.001, None)
f.start()
f.wait(3, 10)
""")
        self.assertEqual((done.stdout, done.stderr), ("threading\nFalse True\n", ""))
        self.assertEqual(done.returncode, 0)


# block() returns when Python is being taken apart, for who keeps sys.lets_go.
BLOCKING = """
import os, sys, threading, time

blocked = threading.Event()
reading, writing = os.pipe()

def block(*_):
    blocked.set()
    os.read(reading, 1)

class LetsGo:
    def __del__(self, write=os.write, sleep=time.sleep):
        write(writing, b"x")
        sleep(0.1)  # releases the GIL, which the other thread asks for

sys.lets_go = LetsGo()
"""


class AbandonedAtExit(unittest.TestCase):
    def test_whatever_of_a_delivery_blocks_for_ever(self):
        """It comes back when Python is being taken apart, and must not end the process."""
        script = """
import atexit, signal
from Foo import Foo

class Error(Exception):
    __del__ = block

def fail(n):
    raise Error if n == 0 else ValueError

def interrupt(*_):
    raise KeyboardInterrupt  # rather than to wait for the whole grace

class Dropping:
    def __call__(self, n):
        started.wait()
        foos.clear()
    __del__ = block

what, started = sys.argv[1], threading.Event()
on_message = block if what == "on_message" else fail
if what == "its finalizer":
    on_message = Dropping()
threading.excepthook = block if what == "excepthook" else lambda arguments: None
foos = [Foo(3600.0, on_message)]
del on_message
foos[0].start()
started.set()
if what == "an error's finalizer":
    foos[0].wait(2)
    foos[0].start()
blocked.wait()
signal.signal(signal.SIGALRM, interrupt)
atexit.register(signal.setitimer, signal.ITIMER_REAL, 0.1)
"""
        for what in ("on_message", "its finalizer", "excepthook", "an error's finalizer"):
            with self.subTest(what):
                done = run(BLOCKING + script, what)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("it is abandoned", done.stderr)


class DaemonThreads(unittest.TestCase):
    def test_python_code_that_foo_calls_may_never_return(self):
        """The end finds a daemon thread there, between C++ below it and C++ above."""
        script = """
import copy
from Foo import Foo

class Number:
    __float__ = __index__ = block

class Word:
    __repr__ = block

class Named(Foo):
    __class__ = property(block)

class Shown(Foo):
    __repr__ = block

def audited():
    sys.addaudithook(lambda event, _: event == "Foo.start" and block())
    f.start()

f = Foo(3600.0, None)
calls = {
    "the interval": lambda: Foo(Number()),
    "the callback": lambda: Foo(1.0, Word()),
    "a count": lambda: f.wait(Number()),
    "a timeout": lambda: f.wait(1, Number()),
    "an audit hook": audited,
    "a subclass's name": lambda: repr(Named()),
    "a copy's refusal": lambda: copy.copy(Shown()),
}
if len(sys.argv) == 1:
    print(*calls, sep="\\n")
    sys.exit()
threading.Thread(target=calls[sys.argv[1]], daemon=True).start()
blocked.wait()
"""
        listed = run(BLOCKING + script)
        self.assertEqual((listed.returncode, listed.stderr), (0, ""))
        self.assertTrue(listed.stdout)
        for what in listed.stdout.splitlines():
            with self.subTest(what):
                done = run(BLOCKING + script, what)
                self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
