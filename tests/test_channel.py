"""A channel as a script sees it: what it delivers, how its waits end, and what it refuses."""

import importlib.util
import os
import subprocess
import textwrap
import unittest

from host import HOST, LAUNCHER, environment, finish, run, start, wait_until_asleep

CHANNELS = os.environ["CHANNELS_FOLDER"]


class Channels(unittest.TestCase):
    """Each script runs in the host, with module channels imported."""

    @staticmethod
    def command(script):
        # Since 3.12 a fork() beside threads warns.
        return (
            *(HOST, "-W", "ignore::DeprecationWarning", "-c"),
            "import channels, threading\n" + textwrap.dedent(script),
        )

    @staticmethod
    def options(**changes):
        return {"env": environment(PYTHONPATH=CHANNELS, **changes)}

    def prints(self, script, expected, stderr=""):
        outcome = run(*self.command(script), **self.options())
        self.assertEqual((outcome.stderr, outcome.code), (stderr, 0))
        self.assertEqual(outcome.stdout.splitlines(), textwrap.dedent(expected).strip().split("\n"))

    def raises(self, statement, expected):
        """The last line of its traceback."""
        outcome = run(*self.command(statement), **self.options())
        self.assertEqual(outcome.code, 1)
        self.assertEqual(outcome.stderr.splitlines()[-1], expected)


class Delivery(Channels):
    def test_one_by_one_and_many_at_once(self):
        self.prints(
            """
            numbers = channels.Numbers(10)
            channels.push_range(numbers, 0, 8)
            print(len(numbers), numbers.get(), numbers.get(timeout=1), numbers.get_many(3))
            print(numbers.get_many(max=100, timeout=1), len(numbers))
            """,
            "8 0 1 [2, 3, 4]\n[5, 6, 7] 0",
        )

    def test_iteration_ends_when_it_is_closed_and_empty(self):
        self.prints(
            """
            with channels.Numbers(10) as numbers:
                started = channels.start(numbers, 1, 1000)
                threading.Timer(0.2, numbers.close).start()
                seen = list(numbers)
            started.join()
            print(seen == list(range(1000)), numbers.closed, list(numbers))
            """,
            "True True []",
        )

    def test_with_closes_it(self):
        self.prints(
            """
            with channels.Numbers(10) as numbers:
                out = channels.Producer(numbers)
                print(out.push(1), numbers.closed)
            print(out.push(2), out.closed, numbers.closed, numbers.get())
            """,
            "taken False\nclosed True True 1",
        )

    def test_four_native_threads_lose_nothing(self):
        self.prints(
            """
            numbers = channels.Numbers(1000)
            started = channels.start(numbers, 4, 100_000)
            threading.Thread(target=lambda: (started.join(), numbers.close())).start()
            seen = []
            try:
                while True:
                    seen += numbers.get_many(4096)
            except numbers.ShutDown:
                pass
            order = all(
                list(n for n in seen if n // 100_000 == of)
                == list(range(of * 100_000, (of + 1) * 100_000))
                for of in range(4)
            )
            print(len(seen), order, numbers.counts)
            """,
            "400000 True {'pushed': 400000, 'delivered': 400000, 'dropped': 0, 'refused': 0}",
        )

    def test_several_python_threads_may_consume(self):
        self.prints(
            """
            numbers = channels.Numbers(100)
            sums = []
            threads = [threading.Thread(target=lambda: sums.append(sum(numbers))) for _ in "abc"]
            for thread in threads:
                thread.start()
            channels.push_range(numbers, 0, 10_000)
            numbers.close()
            for thread in threads:
                thread.join()
            print(sum(sums) == sum(range(10_000)))
            """,
            "True",
        )

    def test_values_that_cannot_be_copied(self):
        self.prints(
            """
            texts = channels.Texts(10)
            channels.push_range(texts, 0, 3)
            print(texts.get(), texts.get_many(5))
            """,
            "0 ['1', '2']",
        )

    def test_policies_and_counts(self):
        self.prints(
            """
            for policy in "refuse", "drop_oldest":
                numbers = channels.Numbers(2, policy)
                out = channels.Producer(numbers)
                print([out.push(n) for n in range(4)], numbers.counts, numbers.get_many(9))
                print(numbers.when_full, numbers.capacity)
            print(channels.Numbers(capacity=1, when_full="block"))
            """,
            """
            ['taken', 'taken', 'refused', 'refused'] \
{'pushed': 2, 'delivered': 0, 'dropped': 0, 'refused': 2} [0, 1]
            refuse 2
            ['taken', 'taken', 'taken', 'taken'] \
{'pushed': 4, 'delivered': 0, 'dropped': 2, 'refused': 0} [2, 3]
            drop_oldest 2
            <channels.Numbers 0 of 1 when_full=block open>
            """,
        )


class Batches(Channels):
    def test_a_number_is_read_in_place(self):
        self.prints(
            """
            doubles = channels.Doubles(10)
            channels.push_range(doubles, 0, 4)
            batch = doubles.get_batch(3)
            view = memoryview(batch)
            view[0] = 7.0
            print(len(batch), view.format, view.itemsize, memoryview(batch).tolist(), batch.names)
            print(doubles.get_batch(3))
            """,
            "3 d 8 [7.0, 1.0, 2.0] ()\n<handoff.Batch of 1 values of 8 bytes, format d>",
        )

    def test_a_struct_is_read_without_numpy(self):
        self.prints(
            """
            import struct
            readings = channels.Readings(10)
            channels.push_range(readings, 3, 5)
            batch = readings.get_batch(10)
            print(batch.names)
            print(*struct.iter_unpack(batch.format, batch))
            """,
            """
            ('sensor', 'time', 'position', 'of', 'valid', 'level', 'last')
            (3, 0.75, 3.0, 4.0, 5.0, 2, True, -3, 4) (4, 1.0, 4.0, 5.0, 6.0, 1, False, -4, 5)
            """,
        )

    def test_the_memory_outlives_batch_and_channel(self):
        self.prints(
            """
            doubles = channels.Doubles(10)
            channels.push_range(doubles, 0, 4)
            view = memoryview(doubles.get_batch(3))
            del doubles
            print(view.tolist())
            """,
            "[0.0, 1.0, 2.0]",
        )

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "numpy is not installed")
    def test_numpy_copies_nothing(self):
        self.prints(
            """
            import numpy
            readings = channels.Readings(10)
            channels.push_range(readings, 3, 5)
            batch = readings.get_batch(10)
            array = numpy.asarray(batch)
            array["time"][0] = 9.0
            print(array.dtype.names, array.dtype.itemsize, array["position"].shape)
            print(array["time"].tolist(), array["level"].tolist(), array["valid"].tolist())
            print(numpy.asarray(batch)["time"][0], array.flags.owndata)
            """,
            """
            ('sensor', 'time', 'position', 'of', 'valid', 'level', 'last') 48 (2, 3)
            [9.0, 1.0] [-3, -4] [True, False]
            9.0 False
            """,
        )

    def test_batches_go_on_until_it_is_closed(self):
        self.prints(
            """
            doubles = channels.Doubles(100)
            started = channels.start(doubles, 2, 10_000)
            threading.Thread(target=lambda: (started.join(), doubles.close())).start()
            lengths = [len(batch) for batch in doubles.batches(max=64)]
            print(sum(lengths), max(lengths) <= 64, min(lengths) > 0)
            """,
            "20000 True True",
        )


class Waiting(Channels):
    def test_a_timeout_is_queue_empty(self):
        self.prints(
            """
            import queue
            numbers = channels.Numbers(10)
            for wait in (
                lambda: numbers.get(0),
                lambda: numbers.get(timeout=0.05),
                lambda: numbers.get_many(5, 0.05),
                lambda: channels.Doubles(3).get_batch(5, timeout=0.05),
            ):
                try:
                    wait()
                except queue.Empty as error:
                    print(error)
            print(numbers.Empty is queue.Empty)
            """,
            """
            nothing was there
            nothing came within the timeout
            nothing came within the timeout
            nothing came within the timeout
            True
            """,
        )

    def test_others_run_meanwhile(self):
        self.prints(
            """
            numbers = channels.Numbers(10)
            threading.Thread(target=lambda: channels.push_range(numbers, 5, 6)).start()
            print(numbers.get())
            """,
            "5",
        )

    def test_ctrl_c_ends_it(self):
        for wait in "numbers.get()", "numbers.get_many(9, 3600)", "list(numbers)":
            with self.subTest(wait):
                process = start(
                    *self.command(f"numbers = channels.Numbers(3); print(flush=True); {wait}"),
                    **self.options(),
                )
                process.stdout.readline()
                wait_until_asleep(process)
                process.send_signal(2)
                outcome = finish(process)
                self.assertEqual(outcome.stderr.splitlines()[-1], "KeyboardInterrupt")

    def test_a_fork_in_a_signal_handler_leaves_a_closed_channel(self):
        self.prints(
            """
            import os, signal
            children = []
            def fork(*_):
                children.append(os.fork())
                if children[-1] != 0:
                    channels.push_range(numbers, 7, 8)
            signal.signal(signal.SIGALRM, fork)
            numbers = channels.Numbers(3)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            try:
                print(numbers.get(), flush=True)
            except numbers.ShutDown:
                os._exit(9)
            print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
            """,
            "7\n9",
        )


class BadInput(Channels):
    def test_capacity(self):
        for wrong in "0", "-3":
            self.raises(
                f"channels.Numbers({wrong})",
                f"ValueError: capacity must be at least 1, not {wrong}",
            )
        self.raises("channels.Numbers(2.5)", "TypeError: capacity must be an integer, not 2.5")
        self.raises(
            "channels.Numbers(10**30)",
            "OverflowError: capacity is too large: 1000000000000000000000000000000",
        )
        self.raises(
            "channels.made_here(-1)",
            "ValueError: capacity must be a positive number of values, at most "
            "1152921504606846975, not -1",
        )

    def test_a_second_initialisation(self):
        self.prints(
            """
            c = channels.Numbers(3)
            try:
                c.__init__(10)
            except RuntimeError as error:
                print(str(error).split("> ")[1])
            print(c.capacity)
            try:
                channels.Numbers.__init__(5, 3)
            except TypeError as error:
                print(error)
            """,
            """
            has been initialised before
            3
            Numbers.__init__() needs a Numbers, not 5
            """,
        )

    def test_pythons_own_attributes(self):
        channel = "<channels.Numbers 0 of 3 when_full=block open>"
        self.raises(
            "del channels.Numbers(3).__dict__",
            f"TypeError: the __dict__ of {channel} cannot be deleted",
        )
        self.raises(
            "channels.Numbers(3).__dict__ = 5",
            f"TypeError: the __dict__ of {channel} must be a dict, not 5",
        )
        self.prints(
            """
            c = channels.Numbers(3)
            for change in ("c.__weakref__ = 5", "del c.__weakref__"):
                try:
                    exec(change)
                except AttributeError:
                    print("refused")
            """,
            """
            refused
            refused
            """,
        )

    def test_policy(self):
        expected = "when_full must be 'block', 'drop_oldest' or 'refuse', not"
        self.raises("channels.Numbers(3, 'wait')", f"ValueError: {expected} 'wait'")
        self.raises("channels.Numbers(3, None)", f"TypeError: {expected} None")

    def test_max_and_timeout(self):
        numbers = "channels.Numbers(3)"
        self.raises(f"{numbers}.get_many(0)", "ValueError: max must be at least 1, not 0")
        self.raises(f"{numbers}.get_many(None)", "TypeError: max must be an integer, not None")
        self.raises(
            f"{numbers}.get(-0.5)",
            "ValueError: timeout must be a non-negative number of seconds, not -0.5",
        )
        self.raises(
            f"{numbers}.get(float('nan'))",
            "ValueError: timeout must be a number of seconds or None, not nan",
        )
        self.raises(
            f"{numbers}.get('1')", "TypeError: timeout must be a number of seconds or None, not '1'"
        )
        self.raises(
            f"{numbers}.get(1e30)",
            "OverflowError: timeout is too long: 1e+30 s; None waits without one",
        )

    def test_payload_without_a_converter_loses_nothing(self):
        self.prints(
            """
            secrets = channels.Secrets(3)
            channels.push_range(secrets, 0, 2)
            for get in secrets.get, lambda: secrets.get_many(5), lambda: list(secrets):
                try:
                    get()
                except TypeError as error:
                    print(str(error).partition(":::")[0].replace("(anonymous namespace)::", ""))
            print(len(secrets))
            """,
            "\n".join(
                [
                    "Python has no object for a C++ secret: register it in the module, by "
                    "boost::python::class_<secret> or boost::python::to_python_converter, or, if "
                    "it is plain data, describe it by channel_class::field() and use get_batch()"
                ]
                * 3
                + ["2"]
            ),
        )

    def test_batch_of_what_is_not_described(self):
        self.raises(
            "channels.Evens(3).get_batch(2)",
            "TypeError: no field of the C++ (anonymous namespace)::even is described, so nobody "
            "could read a batch: describe each by channel_class::field(), or use get_many()",
        )


class Conversions(Channels):
    """A value's conversion runs a script's code: channels.handle, within the call that takes it."""

    def test_a_list_is_not_seen_before_it_is_whole(self):
        self.prints(
            """
            import gc
            def handle(n):  # as a profiler or a gc callback may do, at any allocation
                for seen in gc.get_objects():
                    if type(seen) in (list, tuple):
                        seen.count(n)
                return [n]
            channels.handle = handle
            handled = channels.Handled(10)
            channels.push_range(handled, 0, 5)
            print(handled.get_many(3), handled.get_many(9))
            """,
            "[[0], [1], [2]] [[3], [4]]",
        )

    def test_a_tuple_is_not_seen_before_it_is_whole(self):
        self.prints(
            """
            import gc
            from Foo import Foo
            class Named:
                def __getattribute__(self, name):
                    for seen in gc.get_objects():
                        if type(seen) is tuple:
                            seen.count(name)
                    return name
            class Numbers(channels.Numbers):
                __class__ = property(lambda self: Named())
            class Worker(Foo):
                __class__ = property(lambda self: Named())
            print(repr(Numbers(1)), repr(Worker(1)))
            """,
            "<__module__.__qualname__ 0 of 1 when_full=block open> "
            "<__module__.__qualname__ interval=1.0 stopped messages=0>",
        )

    def test_what_may_come_back_is_not_the_end_for_another_consumer(self):
        self.prints(
            """
            handled = channels.Handled(10)
            channels.push_range(handled, 0, 3)
            handled.close()
            converting, go_on = threading.Event(), threading.Event()
            def handle(n):
                converting.set()
                go_on.wait()
                raise KeyboardInterrupt(n)
            channels.handle = handle
            told = {}
            def first():
                try:
                    handled.get_many(3)
                except KeyboardInterrupt as error:
                    told["first"] = repr(error)
            def second():
                told["second"] = handled.get_many(3)
                try:
                    handled.get()
                except handled.ShutDown:
                    told["then"] = "the end"
            one = threading.Thread(target=first)
            one.start()
            converting.wait()
            try:
                handled.get(timeout=0)
            except handled.Empty:
                print("not yet")
            another = threading.Thread(target=second)
            another.start()
            channels.handle = float
            go_on.set()
            one.join()
            another.join()
            print(told["first"], told["second"], told["then"])
            print(handled.counts)
            """,
            """
            not yet
            KeyboardInterrupt(0) [0.0, 1.0, 2.0] the end
            {'pushed': 3, 'delivered': 3, 'dropped': 0, 'refused': 0}
            """,
        )

    def test_who_waits_for_another_consumers_conversion_is_told_the_end(self):
        self.prints(
            """
            handled = channels.Handled(10)
            channels.push_range(handled, 0, 1)
            handled.close()
            converting, go_on = threading.Event(), threading.Event()
            def handle(n):
                converting.set()
                go_on.wait()
                return n
            channels.handle = handle
            got, told = [], []
            one = threading.Thread(target=lambda: got.append(handled.get()))
            another = threading.Thread(target=lambda: told.append(list(handled)))
            one.start()
            converting.wait()
            another.start()
            go_on.set()
            one.join()
            another.join()
            print(got, told)
            """,
            "[0] [[]]",
        )

    def test_an_interrupt_does_not_spend_the_value(self):
        self.prints(
            """
            def handle(n):
                raise KeyboardInterrupt
            handled = channels.Handled(10)
            channels.push_range(handled, 0, 2)
            for get in handled.get, lambda: next(handled), lambda: handled.get_many(2):
                channels.handle = handle
                try:
                    get()
                except KeyboardInterrupt:
                    print(len(handled))
            channels.handle = str
            print(handled.get_many(5))
            """,
            "2\n2\n2\n['0', '1']",
        )

    def test_may_take_from_the_same_channel(self):
        self.prints(
            """
            def handle(n):
                return (n, handled.get()) if n % 2 == 0 else n
            channels.handle = handle
            handled = channels.Handled(10)
            channels.push_range(handled, 0, 4)
            print(handled.get(), handled.get())
            """,
            "(0, 1) (2, 3)",
        )

    def test_that_waits_for_the_end_of_its_own_channel_is_refused(self):
        self.prints(
            """
            channels.handle = lambda n: handled.get()
            handled = channels.Handled(10)
            channels.push_range(handled, 0, 1)
            handled.close()
            try:
                handled.get()
            except RuntimeError as error:
                print(error)
            try:
                handled.get()
            except handled.ShutDown:
                print("the end")
            """,
            "a value's conversion waits for the end of the channel that the value came from, which "
            "cannot end before the conversion has: take no more from a closed channel there\n"
            "the end",
        )

    def test_may_close_and_drop_the_channel(self):
        self.prints(
            """
            def handle(n):
                global handled
                handled.close()
                handled = None
                return n
            channels.handle = handle
            handled = channels.Handled(10)
            channels.push_range(handled, 0, 1)
            print(handled.get(), handled)
            """,
            "0 None",
        )

    def test_may_fork(self):
        self.prints(
            """
            import os
            def handle(n):
                child = os.fork()
                if child == 0:
                    return -n
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                return n
            channels.handle = handle
            handled = channels.Handled(10)
            channels.push_range(handled, 5, 6)
            handled.close()
            got = handled.get()
            try:
                handled.get()
            except handled.ShutDown:
                if got < 0:
                    os._exit(-got)
                print(got)
            """,
            "5\n5",
        )

    def test_a_converter_that_sets_no_error_has_one_all_the_same(self):
        self.prints(
            """
            broken = channels.Broken(10)
            channels.push_range(broken, 0, 4)
            print(broken.get_many(4))
            try:
                broken.get_many(4)
            except SystemError as error:
                print(error)
            print(broken.get_many(4))
            """,
            "[0]\nthe value's to-python converter returned null, and set no Python error\n[2, 3]",
        )

    def test_values_come_back_while_producers_push(self):
        self.prints(
            """
            import itertools
            calls = itertools.count()
            def handle(n):
                if next(calls) % 7 == 0:
                    raise SystemExit  # no error of the value's
                return n
            channels.handle = handle
            handled = channels.Handled(50)
            started = channels.start(handled, 3, 2000)
            threading.Thread(target=lambda: (started.join(), handled.close())).start()
            seen = []
            def consume():
                while True:
                    try:
                        seen.extend(handled.get_many(5))
                    except SystemExit:
                        pass
                    except handled.ShutDown:
                        return
            consumers = [threading.Thread(target=consume) for _ in range(3)]
            for consumer in consumers:
                consumer.start()
            for consumer in consumers:
                consumer.join()
            print(sorted(seen) == list(range(6000)), handled.counts["delivered"])
            """,
            "True 6000",
        )


class Collection(Channels):
    def test_of_a_cycle_through_batches_or_an_attribute(self):
        self.prints(
            """
            import gc, weakref
            class Own(channels.Doubles):
                pass
            def batches_of(channel):
                channel.kept = channel.batches()
            def itself(channel):
                channel.kept = channel
            def batches_that_have_begun(channel):
                channels.push_range(channel, 0, 1)
                channel.kept = channel.batches()
                channel.batch = next(channel.kept)
            for make in channels.Doubles, Own:
                for tie in batches_of, itself, batches_that_have_begun:
                    channel = make(3)
                    tie(channel)
                    out = weakref.ref(channel)
                    del channel
                    gc.collect()
                    print(out())
            """,
            "\n".join(["None"] * 6),
        )

    def test_batches_keep_their_channel(self):
        self.prints(
            """
            doubles = channels.Doubles(3)
            channels.push_range(doubles, 0, 3)
            doubles.close()
            batches = doubles.batches(2)
            del doubles
            print(*(memoryview(batch).tolist() for batch in batches), list(batches))
            print(iter(batches) is batches)
            """,
            "[0.0, 1.0] [2.0] []\nTrue",
        )

    @unittest.skipIf(LAUNCHER, "valgrind takes too long")
    def test_many_channels_are_made_in_time(self):
        # A look at all of them at each would take minutes.
        self.prints(
            """
            print(len([channels.Numbers(1) for _ in range(200_000)]))
            """,
            "200000",
        )


class Errors(Channels):
    def test_one_that_cannot_be_converted_stands_alone(self):
        self.prints(
            """
            evens = channels.Evens(10)
            for n in 0, 2, 3, 4, 5, 7, 8:
                channels.push_range(evens, n, n + 1)
            while evens:
                try:
                    print(evens.get_many(10))
                except RuntimeError as error:
                    print(error)
            print(evens.counts)
            channels.push_range(evens, 9, 11)
            try:
                evens.get()
            except RuntimeError as error:
                print(error, evens.get())
            """,
            """
            [0, 2]
            3 is odd
            [4]
            5 is odd
            7 is odd
            [8]
            {'pushed': 7, 'delivered': 7, 'dropped': 0, 'refused': 0}
            9 is odd 10
            """,
        )

    def test_the_producers_error_comes_after_its_values_and_stays(self):
        self.prints(
            """
            numbers = channels.Numbers(10)
            channels.push_range(numbers, 0, 2)
            channels.close_with(numbers, "the device is gone")
            seen = []
            for _ in range(2):
                try:
                    for n in numbers:
                        seen.append(n)
                except IndexError as error:
                    print(error, seen)
            try:
                numbers.get_many(5, timeout=0)
            except IndexError as error:
                print(error, numbers.closed)
            """,
            """
            the device is gone [0, 1]
            the device is gone [0, 1]
            the device is gone True
            """,
        )

    def test_an_error_of_an_unknown_kind_is_one_too(self):
        self.raises(
            'n = channels.Numbers(1); channels.close_with(n, "none of the standard\'s"); n.get()',
            "RuntimeError: unidentifiable C++ exception",
        )
        self.raises(
            "n = channels.Numbers(1); channels.close_with(n, 'python'); n.get()",
            "RuntimeError: the channel was closed with a Python error, which only the thread that "
            "met it knows; close it with a C++ exception that says what happened",
        )

    def test_get_on_a_closed_channel(self):
        self.prints(
            """
            import queue, sys
            numbers = channels.Numbers(10)
            numbers.close()
            numbers.close()
            for get in numbers.get, lambda: numbers.get(0), lambda: numbers.get_many(3):
                try:
                    get()
                except numbers.ShutDown as error:
                    print(error)
            print(numbers.ShutDown is getattr(queue, "ShutDown", numbers.ShutDown))
            """,
            "the channel is closed, and all that was pushed before has been got\n" * 3 + "True",
        )


class TheEnd(Channels):
    def test_a_dropped_channel_frees_its_producers(self):
        self.prints(
            """
            numbers = channels.Numbers(2)
            out = channels.Producer(numbers)
            started = channels.start(numbers, 3, 100)
            del numbers
            started.join()
            print(out.closed, out.push(1))
            """,
            "True closed",
        )

    def test_a_consumer_that_waits_at_exit(self):
        script = """
            import sys
            threading.Thread(target=channels.Numbers(2).get, daemon=True).start()
            print("waiting", flush=True)
            sys.stdin.read()
            print("leaving")
            """
        process = start(*self.command(script), **self.options(), stdin=subprocess.PIPE)
        process.stdout.readline()
        wait_until_asleep(process)
        self.assertEqual(finish(process), (0, "leaving\n", ""))

    def test_producers_go_on_after_python(self):
        self.prints(
            """
            for policy in "block", "drop_oldest", "refuse":
                numbers = channels.Numbers(2, policy)
                channels.push_for_ever(numbers)
            numbers.get()
            print("leaving")
            """,
            "leaving",
        )

    def test_a_blocked_producer_is_freed_by_pythons_end(self):
        outcome = run(
            HOST,
            "-c",
            textwrap.dedent(
                """
                import atexit
                def late():  # after what module channels registers
                    print(numbers.closed)
                    started.join()
                    print(started.result(0), started.result(2))
                atexit.register(late)
                import channels
                numbers = channels.Numbers(2)
                started = channels.start(numbers, 1, 100)
                print(numbers.get())
                """
            ),
            **self.options(),
        )
        self.assertEqual((outcome.stderr, outcome.code), ("", 0))
        first, closed, results = outcome.stdout.splitlines()
        taken, refused = map(int, results.split())
        self.assertEqual((first, closed, taken + refused), ("0", "True", 100))
        self.assertIn(taken, (1, 2, 3))

    def test_the_child_of_a_fork_finds_it_closed_and_empty(self):
        self.prints(
            """
            import os
            numbers = channels.Numbers(1000, "drop_oldest")
            channels.push_for_ever(numbers)
            numbers.get()
            child = os.fork()
            if child == 0:
                try:
                    numbers.get()
                except numbers.ShutDown:
                    os._exit(5 if numbers.closed and list(numbers) == [] else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), numbers.closed)
            """,
            "5 False",
        )


if __name__ == "__main__":
    unittest.main()
