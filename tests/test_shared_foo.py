"""Foo beside somebody's module that contains a copy of its C++ code, in a Python without a host."""

import subprocess
import sys
import unittest


def run(*statements):
    return subprocess.run(
        [sys.executable, "-c", "\n".join(statements)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class TwoCopies(unittest.TestCase):
    BEGINNING = ("import threading", "from Foo import Foo", "import foo_user")

    def check(self, *statements):
        ended = run(*self.BEGINNING, *statements, "print('done')")
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "done\n", ""))

    def test_have_one_scheduler_whichever_starts_a_foo(self):
        self.check(
            "mine, theirs = Foo(0.001, None), foo_user.hourly()",
            "mine.start(); theirs.start()",
            "assert mine.wait(5, 20) and theirs.wait(1, 20)",
            "foo_user.stop_on_a_native_thread(mine)",
            "foo_user.stop_on_a_native_thread(theirs)",
            "assert not mine.running and not theirs.running",
        )

    def test_know_each_others_deliveries(self):
        self.check(
            "stopped = threading.Event()",
            "def on_message(n):",
            "    foo_user.stop_on_this_thread(mine)",
            "    stopped.set()",
            "mine = Foo(0.001, on_message)",
            "mine.start()",
            "assert stopped.wait(20)",
            "assert mine.messages == [0] or not mine.running",
        )

    def test_end_in_order_with_all_running(self):
        self.check(
            "mine, theirs = Foo(0.001, [].append), foo_user.hourly()",
            "mine.start(); theirs.start()",
            "foo_user.keep_this(mine)",
            "foo_user.let_go_on_a_native_thread()",
            "assert mine.wait(3, 20)",
        )


if __name__ == "__main__":
    unittest.main()
