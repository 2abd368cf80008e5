"""Logging from native threads as a script sees it: in the host and in the stock interpreter."""

import os
import re
import subprocess
import textwrap
import unittest
from pathlib import Path

from host import HOST, InFolder, environment, finish, start

LOGS = os.environ["LOGS_FOLDER"]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "logging"
INTERPRETERS = {"any Python": os.environ["LOGS_PYTHON"], "host": HOST}
TOOLS = os.environ["TOOLS_PYTHON"]
RUNS = int(os.environ.get("LOGGING_RUNS", "10"))

PRELUDE = """
    import logging, logs, sys, threading, time

    class Keep(logging.Handler):
        def emit(self, record): kept.append(record)

    kept = []
    logging.getLogger().addHandler(Keep())
    logging.getLogger().setLevel(1)

    def opened(capacity=1000, policy="drop_oldest", patience=10_000):
        sink = logs.Sink(capacity, policy, patience)
        sink.open()
        return sink

    def texts(name=None):
        return [each.getMessage() for each in kept if name in (None, each.name)]
    """


def has_pytest():
    """Whether the tools' Python has it, and can load the module: it is no sanitizer's, say."""
    command = (TOOLS, "-c", "import logs, pytest")
    variables = environment(PYTHONPATH=LOGS)
    return subprocess.run(command, env=variables, capture_output=True, check=False).returncode == 0


class Logging(InFolder):
    def prints(self, script, stdout="", stderr="", code=0, runs=1):
        text = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
        for interpreter, path in INTERPRETERS.items():
            for run in range(runs):
                with self.subTest(interpreter, run=run):
                    # Since 3.12 a fork() beside threads warns.
                    command = (path, "-W", "ignore::DeprecationWarning", "-c", text, str(run))
                    outcome = finish(start(*command, env=environment(PYTHONPATH=LOGS)))
                    self.assertEqual(outcome, (code, stdout, stderr))


class Records(Logging):
    def test_has_the_time_place_and_thread_of_the_event(self):
        self.prints(
            """
            sink = logs.Sink(1000, "drop_oldest", 10_000)
            before = time.time()
            sink.log_from_threads("a.b", 1, 1)
            after = time.time()
            time.sleep(0.2)
            sink.open()
            assert sink.flush(10)
            it, = kept
            assert before - 1e-5 <= it.created <= after + 1e-5, (before, it.created, after)
            assert abs(it.created % 1 * 1000 - it.msecs) < 1.001, (it.created, it.msecs)
            made = logging.LogRecord("", 1, "", 1, "", (), None)
            late = (made.created - it.created) * 1000
            assert abs(made.relativeCreated - it.relativeCreated - late) < 1
            print(it.name, it.levelname, it.getMessage(), it.filename, it.threadName)
            assert "log_from_threads" in it.funcName and it.lineno > 50, (it.funcName, it.lineno)
            assert it.thread != threading.get_ident() and it.native_id != threading.get_native_id()
            assert it.process == __import__("os").getpid() and it.processName == "MainProcess"
            """,
            "a.b INFO 0 0 logs.cpp native 0\n",
        )

    def test_python_threads_have_their_names(self):
        self.prints(
            """
            sink = opened()
            sink.log("a", 20, "main")
            worker = threading.Thread(
                target=lambda: (sink.log("a", 20, "worker"), sink.flush(10)), name="a worker")
            worker.start()
            worker.join()
            print([(each.threadName, each.thread) for each in kept] == [
                ("MainThread", threading.get_ident()), ("a worker", worker.ident)])
            """,
            "True\n",
        )

    def test_levels_filters_and_propagation_are_pythons(self):
        self.prints(
            """
            sink = opened()
            logging.getLogger("quiet").setLevel(logging.ERROR)
            logging.getLogger("own").propagate = False
            logging.getLogger("own").addHandler(logging.NullHandler())
            logging.getLogger("picky").addFilter(lambda record: "yes" in record.getMessage())
            logging.getLogger("off").disabled = True
            for name in "quiet", "own", "picky", "off", "quiet.child", "":
                sink.log(name, 30, "no")
                sink.log(name, 40, "yes")
            logging.disable(39)
            assert sink.flush(10)
            logging.disable(0)
            print([(each.name, each.getMessage()) for each in kept])
            """,
            "[('quiet', 'yes'), ('picky', 'yes'), ('quiet.child', 'yes'), ('root', 'yes')]\n",
        )

    def test_any_text_is_taken_as_it_is(self):
        self.prints(
            """
            sink = opened()
            for text in "100%s", "", "é\\U0001F600", "x" * 100_000:
                sink.log("a", 25, text)
            assert sink.flush(10)
            assert texts() == ["100%s", "", "é\\U0001F600", "x" * 100_000]
            print(kept[0].levelname)
            """,
            "Level 25\n",
        )

    def test_the_level_can_be_pythons(self):
        self.prints(
            """
            sink = opened()
            print(sink.is_enabled(1), end=" ")
            logging.getLogger().setLevel(logging.WARNING)
            logging.getLogger("loud").setLevel(logging.INFO)
            sink.follow_python_levels()
            print(sink.is_enabled(19), sink.is_enabled(20), end=" ")
            logging.disable(40)
            sink.follow_python_levels()
            print(sink.is_enabled(40), sink.is_enabled(41))
            for wrong in "LOUD", 0:
                try:
                    sink.set_level(wrong)
                except ValueError as refused:
                    print(refused)
            """,
            "True False True False True\n"
            '"LOUD" is not a log level: use DEBUG, INFO, WARNING, ERROR or CRITICAL, '
            "or the number of the level\n"
            "a log level must be a positive number, not 0\n",
        )

    def test_the_level_can_be_pythons_while_loggers_are_made(self):
        self.prints(
            """
            sink = opened()
            ends = threading.Event()
            def make():
                number = 0
                while not ends.is_set():
                    logging.getLogger(f"new{number % 5000}")
                    number += 1
            other = threading.Thread(target=make)
            other.start()
            for _ in range(50): sink.follow_python_levels()
            ends.set()
            other.join()
            """
        )

    def test_those_of_four_threads_come_in_order_and_none_is_lost(self):
        self.prints(
            """
            counted = {}
            class Count(logging.Handler):
                def emit(self, record):
                    thread, number = record.msg.split()
                    assert counted.get(thread, 0) == int(number), record.msg
                    counted[thread] = int(number) + 1
            logger = logging.getLogger("many")
            logger.propagate = False
            logger.addHandler(Count())
            sink = opened(1000, "block")
            sink.log_from_threads("many", 4, 100_000)
            assert sink.flush(60)
            print(sorted(counted.items()), sink.counts())
            """,
            "[('0', 100000), ('1', 100000), ('2', 100000), ('3', 100000)] "
            "{'delivered': 400000, 'dropped': 0, 'recursive': 0, 'refused': 0, 'raised': 0, "
            "'waiting': 0}\n",
        )

    @unittest.skipUnless(has_pytest(), "the tools' environment has no pytest for this Python")
    def test_pytests_caplog_sees_them(self):
        Path(self.folder, "test_it.py").write_text(
            textwrap.dedent(
                """
                import logging, logs
                sink = logs.Sink(100, "drop_oldest", 10_000)
                sink.open()
                def test_it(caplog):
                    with caplog.at_level(logging.INFO):
                        sink.log_from_threads("a.b", 1, 1)
                        assert sink.flush(10)
                    assert caplog.record_tuples == [("a.b", 20, "0 0")]
                """
            )
        )
        command = (TOOLS, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py")
        outcome = finish(start(*command, cwd=self.folder, env=environment(PYTHONPATH=LOGS)))
        self.assertEqual(outcome.code, 0, outcome)


class Full(Logging):
    def test_what_is_dropped_is_counted_and_said_once(self):
        for policy, kept in (("drop_oldest", ["6", "7", "8", "9"]), ("refuse", list("0123"))):
            self.prints(
                f"""
                sink = logs.Sink(4, "{policy}", 10_000)
                for number in range(10):
                    sink.log("a", 20, str(number))
                sink.open()
                assert sink.flush(10)
                while not texts("handoff.logging"): time.sleep(0.001)
                assert texts("a") == {kept}, texts()
                said, = [each for each in kept if each.name != "a"]
                print(said.levelname, said.getMessage(), sink.counts()["dropped"])
                """,
                "WARNING 6 log records were dropped: the queue of 4 was full, "
                "or there was no memory 6\n",
            )

    def test_who_holds_the_gil_and_waits_for_room_lets_it_go(self):
        self.prints(
            """
            sink = opened(2, "block")
            for number in range(1000):
                assert sink.log("a", 20, str(number)) == "taken"
            assert sink.flush(10)
            print(texts() == [str(number) for number in range(1000)])
            """,
            "True\n",
        )

    def test_under_a_mutex_that_a_python_thread_wants(self):
        self.prints(
            """
            sink = opened(100)
            sink.log_under_a_mutex(20_000)
            assert sink.flush(10)
            dropped = sink.counts()["dropped"]
            print(len(texts("mutex")) + dropped)
            """,
            "20000\n",
        )


class Flush(Logging):
    SLOW = """
        delivered = threading.Event()
        class Slow(logging.Handler):
            def emit(self, record):
                os.kill(os.getpid(), signal.SIGINT)
                delivered.wait()
        import os, signal
        logging.getLogger("slow").addHandler(Slow())
        sink = opened()
        def log_and_flush():
            sink.log("slow", 20, "x")
            return sink.flush(600)
        """

    def test_is_ended_by_ctrl_c_in_the_main_thread(self):
        self.prints(
            textwrap.dedent(self.SLOW)
            + textwrap.dedent(
                """
                try:
                    log_and_flush()
                except KeyboardInterrupt:
                    print("interrupted", sink.counts()["waiting"])
                delivered.set()
                print(sink.flush(10))
                """
            ),
            "interrupted 1\nTrue\n",
        )

    def test_waits_for_what_was_written_before_though_later_records_are_dropped(self):
        """A later record that is dropped does not count as an earlier one that is delivered."""
        self.prints(
            """
            enters, ends = threading.Event(), threading.Event()
            class Slow(logging.Handler):
                def emit(self, record):
                    enters.set()
                    ends.wait()
            logging.getLogger().addHandler(Slow())
            sink = logs.Sink(100, "drop_oldest", 10_000)
            for number in range(100): sink.log("a", 20, "before")
            sink.open()  # so that they are taken at once
            enters.wait()
            def overflow():
                time.sleep(0.05)
                for number in range(300): sink.log("a", 20, "after")
                time.sleep(0.3)
                ends.set()
            other = threading.Thread(target=overflow)
            other.start()
            flushed = sink.flush(10)
            print(flushed, ends.is_set(), len(texts()) >= 100)
            other.join()
            """,
            "True True True\n",
        )

    def test_goes_on_in_any_other_thread(self):
        self.prints(
            textwrap.dedent(self.SLOW)
            + textwrap.dedent(
                """
                ended = threading.Event()
                def wait():
                    print(log_and_flush())
                    ended.set()
                try:
                    threading.Thread(target=wait).start()
                    ended.wait()  # join() may take a thread for ended after it was interrupted
                except KeyboardInterrupt:
                    print("interrupted", flush=True)
                delivered.set()
                ended.wait()
                """
            ),
            "interrupted\nTrue\n",
        )


class Handlers(Logging):
    def test_one_that_raises_is_told_of_and_the_others_are_delivered(self):
        self.prints(
            """
            class Bad(logging.Handler):
                def handle(self, record):
                    raise ValueError(record.getMessage())
            logging.getLogger("bad").addHandler(Bad())
            raised = []
            sys.unraisablehook = lambda it: raised.append(repr(it.exc_value))
            sink = opened()
            for name in "bad", "good", "bad":
                sink.log(name, 20, name)
            assert sink.flush(10)
            print(raised, texts(), sink.counts()["raised"])
            """,
            "[\"ValueError('bad')\", \"ValueError('bad')\"] ['good'] 2\n",
        )

    def test_one_that_logs_natively_neither_loops_nor_deadlocks(self):
        for policy in "drop_oldest", "refuse", "block":
            self.prints(
                f"""
                sink = opened(4, "{policy}")
                class Log(logging.Handler):
                    def emit(self, record):
                        sink.log("again", 20, "of " + record.getMessage())
                        sink.flush(10)
                logging.getLogger("a").addHandler(Log())
                logging.getLogger("again").addHandler(Log())
                sink.log("a", 20, "x")
                while sink.counts()["recursive"] < 1: time.sleep(0.001)
                assert sink.flush(10)
                print(texts(), sink.counts()["recursive"])
                """,
                "['x', 'of x'] 1\n",
            )

    def test_python_logs_to_a_function(self):
        self.prints(
            """
            import os
            logger = logging.getLogger("journal")
            logger.propagate = False
            handler = logs.handler(False)
            handler.setFormatter(logging.Formatter("<%(message)s>"))
            logger.addHandler(handler)
            logger.warning("x%s", 1)
            logger.log(25, "é")
            print(logs.handled())
            logger.warning(os.fsdecode(b"\\xff"))  # a file's name, which is not UTF-8
            print(logs.handled()[2:])
            for wrong in {}, {"lineno": -1, "created": float("nan")}:
                logger.handle(logging.makeLogRecord({"msg": "z", "levelno": 20, **wrong}))
            print(logs.handled()[3:])
            logger.handlers = [logs.handler(True)]
            logging.Handler.handleError = lambda *_: print(repr(sys.exc_info()[1]))
            logger.error("y")
            """,
            "['journal 30 <x1> <module> MainThread', 'journal 25 <é> <module> MainThread']\n"
            "['journal 30 <\\\\udcff> <module> MainThread']\n"
            "[' 20 <z>  MainThread nowhere', ' 20 <z>  MainThread nowhere ever']\n"
            "RuntimeError('no room in the journal')\n",
        )


class Streams(Logging):
    def test_of_cpp_are_pythons(self):
        self.prints(
            """
            import contextlib, io
            sink = opened()
            for to_stderr, redirect in enumerate([contextlib.redirect_stdout,
                                                  contextlib.redirect_stderr]):
                with redirect(io.StringIO()) as shown:
                    sink.print("one\\ntwo", bool(to_stderr), False)
                    sink.print("three", bool(to_stderr), True)
                    assert sink.flush(10)
                print(repr(shown.getvalue()))
            sink.print("at the end\\n", False, False)
            """,
            "'one\\ntwothree'\n'one\\ntwothree'\nat the end\n",
        )

    def test_of_cpp_go_on_after_a_text_was_refused(self):
        """An ostream that has failed once writes nothing more."""
        self.prints(
            """
            import io
            stream, sys.stdout = logs.KeptStream(1), io.StringIO()
            for _ in range(1000): stream.write("lost or not\\n")
            assert stream.is_good()
            """
        )

    def test_of_cpp_lose_no_incomplete_line_at_the_end(self):
        """Python has ended, and the stream's former buffer has the text."""
        self.prints("logs.KeptStream(100).write('last words')", "last words")

    def test_of_cpp_can_be_written_in_the_child_of_a_fork(self):
        """Whatever native threads were doing at that moment."""
        self.prints(
            """
            import io, os
            stream, sys.stdout = logs.KeptStream(100), io.StringIO()
            stream.write_for_ever()
            for _ in range(50):
                child = os.fork()
                if child == 0:
                    for _ in range(3): stream.write("child\\n")
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            sys.stdout = sys.__stdout__
            os._exit(0)
            """,
            runs=3,
        )


class Ends(Logging):
    def test_all_is_delivered_before_logging_ends(self):
        self.prints(
            """
            class Last(logging.Handler):
                count = 0
                def emit(self, record): self.count += 1
                def close(self): print(self.count)
            logger = logging.getLogger("many")
            logger.propagate = False
            logger.addHandler(Last())
            sink = opened(10_000, "block")
            sink.log_from_threads("many", 2, 4000)
            """,
            "8000\n",
        )

    def test_in_the_middle(self):
        self.prints(
            """
            import atexit, random
            numbers = []
            class Numbers(logging.Handler):
                def emit(self, record): numbers.append(int(record.msg))
            logger = logging.getLogger("endless")
            logger.propagate = False
            logger.addHandler(Numbers())

            @atexit.register  # before the sink is opened: called after it was closed
            def check():
                sink.stop()
                counts = sink.counts()
                assert numbers == sorted(set(numbers))
                assert counts["waiting"] == 0, counts
                assert counts["delivered"] == len(numbers), (counts, len(numbers))

            busy = "while True: sum(range(100))", {}
            threading.Thread(target=exec, args=busy, daemon=True).start()
            sink = opened(1000)
            logging.getLogger("handoff.logging").disabled = True
            sink.start("endless")
            time.sleep(random.Random(int(sys.argv[1])).uniform(0, 0.1))
            sys.exit()
            """,
            runs=RUNS,
        )

    def test_what_a_slow_handler_leaves_is_counted(self):
        """Within the ten seconds for which Python waits it handles less than a half."""
        script = """
            import atexit, os
            class Slow(logging.Handler):
                def emit(self, record):
                    time.sleep(0.5)
                    os.write(1, b".")
            logger = logging.getLogger("slow")
            logger.propagate = False
            logger.addHandler(Slow())
            @atexit.register  # before the sink is opened: called after it was closed
            def check():
                while sink.counts()["waiting"] > 0: time.sleep(0.01)
                assert not sink.flush(0)
            sink = opened(1000)
            sink.log_from_threads("slow", 1, 60)
            while sink.counts()["delivered"] == 0: time.sleep(0.01)
            counts = sink.counts()
            assert counts["waiting"] + counts["delivered"] == 60, counts
            """
        text = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
        outcome = finish(start(HOST, "-c", text, env=environment(PYTHONPATH=LOGS)))
        told = re.fullmatch(
            r"handoff: Python ends, and a log sink has not delivered (\d+) records, as a handler "
            r"takes long or has not come back\n",
            outcome.stderr,
        )
        self.assertTrue(told, outcome)
        # The one that is in the handler meanwhile gets through.
        self.assertIn(int(told[1]) + len(outcome.stdout), (60, 61))
        self.assertEqual(outcome.code, 0)

    def test_is_refused_after_python(self):
        self.prints("logs.log_after_python()", "closed 1\n")


class Forks(Logging):
    def test_the_child_delivers_its_own_alone(self):
        self.prints(
            """
            import os
            sink = logs.Sink(1000, "drop_oldest", 10_000)
            hold = threading.Event()
            class Hold(logging.Handler):
                def emit(self, record): hold.wait()
            logging.getLogger("held").addHandler(Hold())
            sink.open()
            sink.log("held", 20, "held")
            for number in range(100):
                sink.log("a", 20, "parent")
            child = os.fork()
            if child == 0:
                sink.log("a", 20, "child")
                assert sink.flush(10)
                os._exit(0 if texts() == ["child"] else 1)
            hold.set()
            assert os.waitpid(child, 0)[1] == 0
            assert sink.flush(10)
            print(texts() == ["held"] + ["parent"] * 100 or texts())
            """,
            "True\n",
        )

    def test_a_child_of_a_handler_delivers_its_own_and_ends(self):
        """It has the delivering thread alone, whose handler returns there."""
        self.prints(
            """
            import os
            class NoLock:  # logging makes a real one anew in the child, where emit() returns
                def acquire(self): return True
                def release(self): pass
                __enter__ = acquire
                def __exit__(self, *error): pass
            class Forks(logging.Handler):
                def createLock(self): self.lock = NoLock()
                def emit(self, record):
                    global child
                    if record.getMessage() != "fork": return
                    child = os.fork()
                    if child == 0:
                        logging.getLogger().handlers = [logging.StreamHandler(sys.stdout)]
                        for number in range(3): sink.log("a", 20, f"child {number}")
            logging.getLogger().addHandler(Forks())
            sink = opened()
            sink.log("a", 20, "fork")
            assert sink.flush(10)
            end = time.monotonic() + 20
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
                time.sleep(0.01)
            print(ended[0] == child, ended[1])
            """,
            "child 0\nchild 1\nchild 2\nTrue 0\n",
            runs=RUNS,
        )

    def test_a_child_that_python_does_not_know_of_is_refused(self):
        self.prints("print(opened().log_in_native_child())", "7\n")

    def test_a_child_that_exits_delivers_at_exit(self):
        self.prints(
            """
            import os
            sink = opened()
            sink.log("a", 20, "parent")
            assert sink.flush(10)
            if os.fork() == 0:
                kept.clear()
                logging.getLogger().handlers = [logging.StreamHandler(sys.stdout)]
                sink.log("a", 20, "child")
                sys.exit()
            os.wait()
            """,
            "child\n",
        )


class Page(unittest.TestCase):
    def test_its_example_does_what_it_says(self):
        for interpreter, path in INTERPRETERS.items():
            with self.subTest(interpreter):
                variables = environment(PYTHONPATH=os.environ["LOGGING_PAGE_FOLDER"])
                outcome = finish(start(path, PAGE / "read.py", env=variables))
                text = (PAGE.parent / "logging.md").read_text()
                shown = text.split("```text\n")[1].split("```")[0]
                self.assertEqual(outcome, (0, shown, ""))


if __name__ == "__main__":
    unittest.main()
