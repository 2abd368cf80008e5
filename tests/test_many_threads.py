"""Foo and the channel where many threads are attached at once, and a collector runs beside them.

What one thread sees is whole, and nothing is lost. Without a GIL the threads are in our code at the
same time; with one they take turns, which hides less than it seems to.
"""

import os
import textwrap
import unittest

from at_once import AT_ONCE
from host import HOST, environment, run

CHANNELS = os.environ["CHANNELS_FOLDER"]

BEGINNING = f"""\
import gc, threading, time
{AT_ONCE}
def collect():
    for _ in range(50): gc.collect()

"""


class ManyThreads(unittest.TestCase):
    """Each script runs in the host."""

    def prints(self, script, expected):
        code = BEGINNING + textwrap.dedent(script)
        outcome = run(HOST, "-c", code, env=environment(PYTHONPATH=CHANNELS))
        self.assertEqual((outcome.stderr, outcome.code), ("", 0))
        self.assertEqual(outcome.stdout.split("\n")[:-1], expected)


class Foos(ManyThreads):
    def test_one_that_many_start_stop_read_and_sort(self):
        self.prints(
            """
            from Foo import Foo
            foo = Foo(0.0001, None)
            def use():
                for _ in range(200):
                    try: foo.start()
                    except RuntimeError as error: assert "running" in str(error), error
                    foo.messages.sort(key=lambda n: n)
                    assert foo.error is None
                    foo.running, len(foo), repr(foo)
                    foo.stop()
            at_once(use, use, use, use, collect)
            foo.stop()
            print(foo.messages == list(range(len(foo))), len(foo) > 0, foo.running)
            """,
            ["True True False"],
        )

    def test_callbacks_of_many_while_others_come_and_go(self):
        self.prints(
            """
            from Foo import Foo
            def use():
                for _ in range(40):
                    seen = []
                    with Foo(0.0001, seen.append) as foo:
                        assert foo.wait(5, 30)
                    assert seen == foo.messages == list(range(len(foo))), (seen, foo.messages)
            at_once(use, use, use, use, collect)
            print("done")
            """,
            ["done"],
        )

    def test_who_waits_for_a_count_is_woken(self):
        self.prints(
            """
            from Foo import Foo
            for _ in range(30):
                foo = Foo(0.0001, None)
                foo.start()
                def wait():
                    for count in range(1, 60): assert foo.wait(count, 30), count
                at_once(wait, wait, wait, wait)
                foo.stop()
            print("done")
            """,
            ["done"],
        )

    def test_an_error_is_the_last_runs_or_none(self):
        self.prints(
            """
            from Foo import Foo
            threading.excepthook = lambda arguments: None
            foo = Foo(0.0001, lambda n: 1 / 0)
            def restart():
                for _ in range(200):
                    try: foo.start()
                    except RuntimeError: pass
                    foo.wait(len(foo) + 1, 0.001)
            def read():
                for _ in range(5000):
                    error = foo.error
                    assert error is None or type(error) is ZeroDivisionError, error
            at_once(restart, restart, read, read, collect)
            foo.stop()
            print(foo.messages == list(range(len(foo))))
            """,
            ["True"],
        )

    def test_attributes_set_at_once_are_all_there(self):
        self.prints(
            """
            from Foo import Foo
            for _ in range(200):
                foo = Foo(1, None)
                at_once(*[lambda n=n: setattr(foo, f"a{n}", n) for n in range(4)])
                assert foo.__dict__ == {f"a{n}": n for n in range(4)}, foo.__dict__
            print("done")
            """,
            ["done"],
        )


class ChannelsOfManyThreads(ManyThreads):
    def test_several_consumers_share_what_native_threads_push(self):
        self.prints(
            """
            import channels
            numbers = channels.Numbers(1000)
            started = channels.start(numbers, 4, 20000)
            taken = [[], [], []]
            def close():
                started.join()
                numbers.close()
            def take(into):
                for value in numbers: into.append(value)
            def take_lists(into):
                while True:
                    try: into.extend(numbers.get_many(50))
                    except numbers.ShutDown: return
            at_once(close, lambda: take(taken[0]), lambda: take_lists(taken[1]),
                     lambda: take_lists(taken[2]), collect)
            print(sum(map(len, taken)), sorted(sum(taken, [])) == list(range(80000)))
            """,
            ["80000 True"],
        )

    def test_made_and_dropped_at_once(self):
        self.prints(
            """
            import channels
            def use():
                for _ in range(3000):
                    numbers = channels.Numbers(4)
                    channels.push_range(numbers, 0, 3)
                    assert numbers.get_many(10) == [0, 1, 2]
            at_once(use, use, use, use, collect)
            print("done")
            """,
            ["done"],
        )

    def test_classes_of_ours_are_made_once(self):
        self.prints(
            """
            import channels
            kinds = set()
            def use():
                numbers = channels.Numbers(4)
                channels.push_range(numbers, 0, 3)
                numbers.close()
                kinds.add(type(numbers.batches()))
                kinds.add(type(numbers.get_batch(1)))
            at_once(use, use, use, use, use, use)
            print(sorted(kind.__name__ for kind in kinds))
            """,
            ["['Batch', 'Batches']"],
        )
