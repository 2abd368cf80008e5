"""The tutorial's programs and the module of samples.py: stopped, forgotten, interrupted, raced."""

import os
import signal
import sys
import unittest
from pathlib import Path

from at_once import AT_ONCE
from host import HOST, InFolder, environment, finish, run, start

PROGRAMS = Path(os.environ["TUTORIAL_FOLDER"])
FOLDERS = f"{PROGRAMS}:{Path(HOST).parent}"  # where counter is, and sensor

# Each begins with an object that can be started and stopped, whose run has begun.
COUNTER = """
from counter import Counter
numbers = []
it = Counter(numbers)
it.start()
while not numbers:
    pass
"""
LAMPS = """
import threading
from lamps import Lamps
blinks = []
blinked = threading.Event()
def on_blink():
    blinks.append(1)
    blinked.set()
it = Lamps()
it.add(on_blink)
it.start()
blinked.wait()
"""
SENSOR = """
from sensor import Sensor
it = Sensor(rate=1e4)
samples = it.samples
assert samples.get(60).time >= 0
"""
THERMOMETER = """
from thermometer import Thermometer
it = Thermometer()
assert it.readings.get(60) >= 20
"""
ROBOT = """
from robot import Robot
it = Robot()
it.step()
"""
EXAMPLES = {
    "counter": (os.environ["ANY_PYTHON"], COUNTER),
    "lamps": (PROGRAMS / "lamps", LAMPS),
    "robot": (PROGRAMS / "robot", ROBOT),
    "sensor": (HOST, SENSOR),
    "thermometer": (PROGRAMS / "thermometer", THERMOMETER),
}
WITH_STOP = ("counter", "lamps", "sensor")


class Example(InFolder):
    def command(self, name, more=""):
        program, begins = EXAMPLES[name]
        self.write("example.py", begins + more)
        return (program, "example.py")

    def options(self):
        return {"cwd": self.folder, "env": environment(PYTHONPATH=FOLDERS)}

    def assert_silent(self, name, more):
        outcome = run(*self.command(name, more), **self.options())
        self.assertEqual((outcome.code, outcome.stdout, outcome.stderr), (0, "", ""))


class Ends(Example):
    def test_after_stop(self):
        for name in WITH_STOP:
            with self.subTest(name):
                self.assert_silent(name, "it.stop()")

    def test_when_stop_was_forgotten(self):
        for name in EXAMPLES:
            with self.subTest(name):
                self.assert_silent(name, "")

    def test_when_it_was_dropped(self):
        for name in EXAMPLES:
            with self.subTest(name):
                self.assert_silent(name, "del it")

    def test_when_it_is_started_and_dropped_again_and_again(self):
        for name, constructor in (
            ("counter", "Counter([])"),
            ("lamps", "Lamps()"),
        ):
            with self.subTest(name):
                more = f"for _ in range(300):\n    it = {constructor}\n    it.start()"
                self.assert_silent(name, more)

    def test_by_an_exception(self):
        for name in EXAMPLES:
            with self.subTest(name):
                outcome = run(*self.command(name, "raise ValueError('ours')"), **self.options())
                self.assertEqual(outcome.code, 1, outcome)
                self.assertTrue(outcome.stderr.endswith("\nValueError: ours\n"), outcome)

    def test_at_ctrl_c(self):
        for name in EXAMPLES:
            with self.subTest(name):
                more = "import time\nprint('runs', flush=True)\nwhile True:\n    time.sleep(60)"
                process = start(*self.command(name, more), **self.options())
                self.assertEqual(process.stdout.readline(), b"runs\n")
                process.send_signal(signal.SIGINT)
                outcome = finish(process)
                self.assertEqual(outcome.code, -signal.SIGINT, outcome)
                self.assertTrue(outcome.stderr.endswith("\nKeyboardInterrupt\n"), outcome)


class Fork(Example):
    def test_its_child_may_drop_the_parents_beside_one_of_its_own(self):
        for first, second in (("it", "own"), ("own", "it")):
            with self.subTest(first):
                more = f"""
import os, warnings
warnings.simplefilter("ignore")  # since 3.12 a fork() beside threads warns
child = os.fork()
if child == 0:
    own = Sensor(rate=1e4)
    own.samples.get(60)
    del {first}
    del {second}
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
assert samples.get(60).time >= 0
"""
                self.assert_silent("sensor", more)

    def test_its_child_has_no_thread_to_wait_for(self):
        for name in EXAMPLES:
            with self.subTest(name):
                ends = "it.stop()\n    it.stop()\n    " if name in WITH_STOP else ""
                again = {"counter": "it = Counter([])", "lamps": "it = Lamps()"}.get(name)
                restarts = (
                    f"it.start()\n    it.stop()\n    {again}\n    it.start()" if again else ""
                )
                more = f"""
import os, warnings
warnings.simplefilter("ignore")  # since 3.12 a fork() beside threads warns
for _ in range(3):
    child = os.fork()
    if child == 0:
        break
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
else:
    child = None
if child == 0:
    {ends}{restarts}
    del it
    os._exit(3)
"""
                self.assert_silent(name, more)


class Stop(Example):
    def test_may_be_called_twice_and_before_start(self):
        for name in WITH_STOP:
            with self.subTest(name):
                self.assert_silent(name, "it.stop()\nit.stop()")
        self.assert_silent("counter", "Counter([]).stop()")
        self.assert_silent("lamps", "Lamps().stop()")

    def test_may_be_called_by_many_threads_at_once(self):
        for name, again in (
            ("counter", "it = Counter(numbers); it.start()"),
            ("lamps", "it = Lamps(); it.add(on_blink); it.start()"),
            ("sensor", "it = Sensor(rate=1e4)"),
        ):
            with self.subTest(name):
                more = f"for _ in range(100):\n    {again}\n    at_once(*[it.stop] * 8)"
                self.assert_silent(name, AT_ONCE + more)

    def test_returns_to_each_caller_when_no_more_comes(self):
        for name, things in (("counter", "numbers"), ("lamps", "blinks")):
            with self.subTest(name):
                more = f"""
for _ in range(20):
    it.start()
    seen = []
    def stop():
        it.stop()
        seen.append(len({things}))
    at_once(*[stop] * 4)
    assert set(seen) == {{len({things})}}, seen
"""
                self.assert_silent(name, AT_ONCE + more)

    def test_may_meet_start(self):
        for name in ("counter", "lamps"):
            with self.subTest(name):
                more = "for _ in range(100):\n    at_once(*[it.stop, it.start] * 4)\nit.stop()"
                self.assert_silent(name, AT_ONCE + more)

    def test_within_a_callback_does_not_wait_for_itself(self):
        more = """
it.stop()
stopped = threading.Event()
again = threading.Event()
def once():
    it.stop()
    stopped.set()
def then():
    if stopped.is_set() and not again.is_set():
        again.set()
        it.start()
it.add(once)
it.add(then)
it.start()
assert again.wait(60)
it.stop()
"""
        self.assert_silent("lamps", more)


class Dropped(Example):
    def test_while_the_callback_waits_for_a_lock_of_who_drops_it(self):
        more = """
lock = threading.Lock()
entered = threading.Event()
def wait_for_lock():
    entered.set()
    with lock:
        pass
with lock:
    it.add(wait_for_lock)
    assert entered.wait(60)
    del it
"""
        self.assert_silent("lamps", more)

    def test_by_its_own_callback(self):
        more = """
it.stop()
done = threading.Event()
class Owner: pass
owner = Owner()
owner.lamps = it
del it
def drop():
    owner.lamps = None
    done.set()
owner.lamps.add(drop)
owner.lamps.start()
assert done.wait(60)
"""
        self.assert_silent("lamps", more)

    def test_while_a_mutex_is_held_for_which_others_wait_with_the_gil(self):
        more = """
import ctypes
import sys
import threading
native = ctypes.PyDLL(None)  # whose functions are called with the GIL held
mutex = ctypes.create_string_buffer(256)  # a pthread_mutex_t
native.pthread_mutex_init(mutex, None)
comes = threading.Lock()
comes.acquire()
def want_the_mutex():
    with comes:
        native.pthread_mutex_lock(mutex)
        native.pthread_mutex_unlock(mutex)
other = threading.Thread(target=want_the_mutex)
other.start()
sys.setswitchinterval(1000)  # so the other gets in only where the GIL is released
native.pthread_mutex_lock(mutex)
comes.release()
del it
native.pthread_mutex_unlock(mutex)
sys.setswitchinterval(0.005)
other.join()
"""
        for name in EXAMPLES:
            with self.subTest(name):
                self.assert_silent(name, more)


class Errors(Example):
    def test_in_the_thread_are_reported_and_end_nothing_else(self):
        more = """
import sys
class Broken(list):
    def __len__(self):
        raise ValueError("ours")
reported = []
sys.unraisablehook = lambda what: reported.append(what.exc_value)
broken = Counter(Broken())
broken.start()
while not reported:
    pass
broken.stop()
it.stop()
assert repr(reported) == "[ValueError('ours')]", reported
"""
        self.assert_silent("counter", more)


if __name__ == "__main__":
    sys.exit(unittest.main())
