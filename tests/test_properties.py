"""Random sequences of start, stop, wait, drop, fork and odd callbacks, against a simple model.

Run by the host. HANDOFF_EXAMPLES=10000 tries that many sequences, other ones each time.
"""

import faulthandler
import gc
import os
import sys
import unittest

try:
    from foo_machine import FooMachine
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    MISSING = None
except ModuleNotFoundError as missing:
    if missing.name != "hypothesis":
        raise
    MISSING = f"{sys.executable} finds no module hypothesis; Debian's package is python3-hypothesis"

EXAMPLES = int(os.environ.get("HANDOFF_EXAMPLES", "0"))
HANG = 60  # seconds without an end of it, in which one sequence takes milliseconds


@unittest.skipIf(MISSING, MISSING)
class AnySequence(unittest.TestCase):
    def test_of_actions_keeps_what_foo_promises(self):
        def machine():
            faulthandler.dump_traceback_later(HANG, exit=True)
            if gc.get_freeze_count() == 0:
                gc.freeze()  # what is there already, so that a collection takes no time
            return FooMachine()

        self.addCleanup(faulthandler.cancel_dump_traceback_later)
        self.addCleanup(gc.unfreeze)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES or 60,
                stateful_step_count=25,
                derandomize=EXAMPLES == 0,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )


if __name__ == "__main__":
    unittest.main()
