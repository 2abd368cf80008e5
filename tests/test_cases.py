"""Programs as users write them, with what Handoff makes of their dangerous part in one line.

tests/cases has a module and a script for each. A script runs beside busy Python, to its end and,
as often, with an exit in the middle.
"""

import os
import re
import unittest
from pathlib import Path

from host import HOST, environment, finish, start

_FOLDER = Path(__file__).with_name("cases")
_RUNS = int(os.environ.get("CASES_RUNS", "4"))
_INTERPRETERS = {"any Python": os.environ["CASES_PYTHON"], "host": HOST}
_MODULES = os.environ["CASES_FOLDER"]

_RUN = """
import random, sys, threading, time

busy = "while True: sum(range(100))", {}  # not our variables: they are to go at the end
threading.Thread(target=exec, args=busy, daemon=True).start()
script, run = sys.argv[1], int(sys.argv[2])
end = time.monotonic() + random.Random(run).uniform(0, 0.15)

def exit_in_the_middle(frame, event, _):
    if frame.f_code.co_filename == script:
        if event == "line" and time.monotonic() > end: sys.exit()
        return exit_in_the_middle

if run % 2: sys.settrace(exit_in_the_middle)
exec(compile(open(script).read(), script, "exec"))
"""


class Case(unittest.TestCase):
    def assert_runs(self, name):
        for interpreter, path in _INTERPRETERS.items():
            for run in range(_RUNS):
                with self.subTest(interpreter, run=run):
                    script = str(_FOLDER / f"{name}.py")
                    variables = environment(PYTHONPATH=_MODULES)
                    command = (path, "-c", _RUN, script, str(run))
                    outcome = finish(start(*command, env=variables))
                    self.assertEqual(outcome, (0, "", ""))

    def test_a_callback_in_a_function(self):
        self.assert_runs("feed")

    def test_a_virtual_override(self):
        self.assert_runs("solver")

    def test_a_destructor_that_blocks(self):
        self.assert_runs("pool")

    def test_a_constructor_that_blocks(self):
        self.assert_runs("blocking_constructor")

    def test_a_shared_pointer(self):
        self.assert_runs("queue_of_items")

    def test_a_logger_that_calls_python_with_its_mutex_locked(self):
        self.assert_runs("logger_mutex")

    def test_a_static_that_an_import_initialises(self):
        self.assert_runs("static_local")

    def test_a_coroutine_that_goes_on_elsewhere(self):
        self.assert_runs("session")

    def test_results_and_coroutines_of_an_event_loop(self):
        self.assert_runs("awaiter")

    def test_handlers_of_asio_that_are_python_functions(self):
        self.assert_runs("echo")

    def test_a_channel_that_coroutines_await(self):
        self.assert_runs("stream")

    def test_what_native_threads_log(self):
        self.assert_runs("reporter")

    def test_each_is_here(self):
        run = re.findall(r'assert_runs\("(\w+)"\)', Path(__file__).read_text())
        self.assertEqual({path.stem for path in _FOLDER.glob("*.cpp")}, set(run))


if __name__ == "__main__":
    unittest.main()
