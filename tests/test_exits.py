"""Leaving the program while Foos run: in order, nothing lost, and with the same exit code.

HANDOFF_REPEAT=100 leaves that often in each way; `make exits` does so under load.
"""

import signal

from host import HOST, STOCK, InFolder, Terminal, environment, finish, start
from ten_foos import TEN_FOOS, BesideTenFoos, joined

ON_SIGTERM = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"


class Leaving(BesideTenFoos):
    """As the stock interpreter leaves."""

    def test_end_of_script(self):
        self.leaves("pass", 0)

    def test_end_of_script_in_development_mode(self):
        self.leaves("pass", 0, "-X", "dev")

    def test_exit_code(self):
        self.leaves("sys.exit(3)", 3)

    def test_exit_with_a_text(self):
        self.leaves("sys.exit('text')", 1)

    def test_uncaught_exception(self):
        self.leaves("1 / 0", 1)

    def test_error_in_atexit(self):
        self.leaves("atexit.register(lambda: 1 / 0)", 0)

    def test_os_exit(self):
        self.leaves("import os; os._exit(5)", 5, reports=False)

    def test_os_abort(self):
        no_core = "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"
        self.leaves(f"{no_core}; os.abort()", -signal.SIGABRT, reports=False, aborts=True)

    def signalled(self, number, code, waiting, **how):
        # Waits in a loop: a signal that comes just before a wait begins is seen when that ends.
        forever = f"print(1, flush=True)\nwhile True: {waiting}"
        if number == signal.SIGTERM and code == 7:
            forever = ON_SIGTERM + forever
        self.leaves(
            forever, code, act=lambda process: process.send_signal(number), whole=False, **how
        )

    def test_ctrl_c_while_asleep(self):
        self.signalled(signal.SIGINT, -signal.SIGINT, "time.sleep(0.05)")

    def test_ctrl_c_while_busy(self):
        self.signalled(signal.SIGINT, -signal.SIGINT, "pass")

    def test_ctrl_c_while_waiting_for_foo(self):
        self.signalled(signal.SIGINT, -signal.SIGINT, "f.wait(10**9, 0.05)")

    def test_ctrl_c_twice(self):
        script = """
            try:
                print("runs", flush=True)
                while True: time.sleep(0.05)
            except KeyboardInterrupt:
                print("cleans up", flush=True)
                while True: time.sleep(0.05)
        """

        def twice(process):
            process.send_signal(signal.SIGINT)
            process.stdout.readline()
            process.send_signal(signal.SIGINT)

        self.leaves(script, -signal.SIGINT, act=twice, whole=False)

    def test_sigterm_with_a_handler(self):
        self.signalled(signal.SIGTERM, 7, "time.sleep(0.05)")

    def test_sigterm_without_a_handler(self):
        self.signalled(signal.SIGTERM, -signal.SIGTERM, "time.sleep(0.05)", reports=False)

    def test_sys_exit_in_a_thread_ends_that_thread_only(self):
        self.leaves(
            """
            import threading
            for leave in sys.exit, lambda n: exec("raise SystemExit"):
                thread = threading.Thread(target=leave, args=[9])
                thread.start()
                thread.join()
            print("goes on")
            """,
            0,
        )

    def test_uncaught_exception_in_a_thread_ends_that_thread_only(self):
        self.leaves(
            """
            import threading
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
            sys.exit(6)
            """,
            6,
            whole=False,
        )

    def test_a_thread_interrupts_the_main_thread(self):
        self.leaves(
            """
            import _thread
            _thread.start_new_thread(_thread.interrupt_main, ())
            while True: time.sleep(0.05)
            """,
            -signal.SIGINT,
            whole=False,
        )

    def test_os_exit_in_a_thread(self):
        self.leaves(
            """
            import os, threading
            threading.Thread(target=os._exit, args=[5]).start()
            while True: time.sleep(0.05)
            """,
            5,
            reports=False,
        )

    def test_thread_that_outlives_the_script(self):
        self.leaves(
            """
            import threading
            def outlive():
                global end
                threading.main_thread().join()
                f.wait(len(f.messages) + 20, 0.02)
                end = time.monotonic_ns()
            threading.Thread(target=outlive).start()
            """,
            0,
        )

    def test_daemon_threads_that_are_still_in_python(self):
        self.leaves(
            """
            import threading
            def compute():
                while True: sum(range(100))
            def allocate():
                while True: [str(n) for n in range(100)]
            def sleep():
                while True: time.sleep(1e-5)
            for each in compute, allocate, sleep, threading.Event().wait:
                threading.Thread(target=each, daemon=True).start()
            time.sleep(0.01)
            """,
            0,
        )

    def test_end_of_input_after_the_script(self):
        self.leaves("pass", 0, "-i", stdin=b"end = time.monotonic_ns()\n")

    def test_with_a_backlog(self):
        """The script does not hand the GIL over for its last moments."""
        alone = "sys.setswitchinterval(600)\nf.wait(len(f.messages) + 5)"
        self.leaves(f"{alone}\nsum(range(2 * 10**6))", 0)

    def test_ctrl_d_at_the_prompt(self):
        self.write("script.py", TEN_FOOS)

        def outcome(program):
            variables = environment(PYTHONPATH=str(self.folder), HOME=str(self.folder))
            terminal = Terminal(program, env=variables, cwd=self.folder)
            try:
                terminal.read_until(">>> ")
                for line in ("exec(open('script.py').read())", "end = time.monotonic_ns()"):
                    terminal.send(line + "\n")
                    terminal.read_until(">>> ")
                terminal.send("\x04")
                code, rest = terminal.finish()
            finally:
                terminal.close()
            return code, rest.strip()

        stock = outcome(STOCK)
        self.assertEqual(stock, (0, ""))
        (self.folder / "report.json").unlink()

        def once():
            self.assertEqual(outcome(HOST), stock)
            self.check_report()

        self.again(once)


class WhoKnowsTheFoo(BesideTenFoos):
    def test_a_global_of_the_script(self):
        self.ends("assert f is globals()['f']")

    def test_a_global_of_another_module(self):
        self.write_script("pass", to="keeper.py")
        self.write("script.py", "import keeper")

        def once():
            self.assertEqual(self.leave(HOST), (0, "", ""))
            self.check_report()

        self.again(once)

    def test_a_reference_cycle_that_it_is_part_of(self):
        self.ends(
            """
            class Holder:
                def __init__(self):
                    self.called = []
                    self.foo = Foo.Foo(0.001, self.on_message)
                def on_message(self, n):
                    self.called.append(n)
            for holder in [Holder() for _ in range(10)]:
                run(holder.foo, holder.called)
            del holder
            """,
            runs=20,
        )

    def test_a_reference_cycle_that_refers_to_it(self):
        self.ends("""
            import gc
            gc.disable()
            class Holder: pass
            holder = Holder()
            holder.itself, holder.foos = holder, foos
            del holder, foos, f
        """)

    def test_an_atexit_function(self):
        self.ends("""
            for each in foos:
                atexit.register(each.stop)
            del each, foos, f
        """)

    def test_an_atexit_function_that_stops_and_drops_it(self):
        """Without the stop, what is owed at the drop would not be delivered."""
        self.ends("""
            def drop():
                while foos:
                    foos.pop().stop()
            atexit.register(drop)
            del f
        """)

    def test_an_atexit_function_that_uses_it(self):
        self.ends(
            """
            def use():
                global end, g
                g = Foo.Foo(0.001, None)
                run(g)
                print(g.wait(20), f.wait(len(f) + 20))
                end = time.monotonic_ns()
            atexit.register(use)
            """,
            "True True\n",
            runs=11,
        )

    def test_a_destructor_called_during_shutdown(self):
        self.ends(
            """
            class Last:
                def __init__(self, foo):
                    self.foo = foo
                def __del__(self):
                    count = len(self.foo)
                    self.foo.stop()
                    waited = self.foo.wait(count), self.foo.wait(count + 1)
                    print(self.foo.running, count > 4, waited, repr(self.foo)[:9])
            last = Last(f)
            last.cycle = last
            """,
            "False True (True, False) <Foo.Foo \n",
        )

    def test_daemon_threads_that_wait_for_it(self):
        self.ends("""
            import threading
            for each in foos:
                threading.Thread(target=each.wait, args=[10**9], daemon=True).start()
            f.wait(len(f) + 5)
        """)

    def test_daemon_threads_that_stop_it(self):
        self.ends("""
            import threading
            entered, leave = threading.Event(), threading.Event()
            def block(n):
                entered.set()
                leave.wait()
            g = Foo.Foo(3600, block)
            g.start()
            entered.wait()
            for _ in range(3):
                threading.Thread(target=g.stop, daemon=True).start()
            while g.running: pass
            atexit.register(leave.set)
        """)

    def test_daemon_threads_that_start_and_stop_it(self):
        self.ends("""
            import threading
            busy = threading.Semaphore(0)
            def use():
                while True:
                    g = Foo.Foo(0.0001, None)
                    try:
                        g.start()
                    except RuntimeError:
                        pass  # it is too late
                    g.wait(3)
                    g.stop()
                    busy.release()
            for _ in range(4):
                threading.Thread(target=use, daemon=True).start()
            for _ in range(20):
                busy.acquire()
        """)


class StartedDuringShutdown(BesideTenFoos):
    REFUSED = """
            def start(late):
                try:
                    late.start()
                except RuntimeError as error:
                    print(error)
                    print(late.running, len(late) > 2, late.wait(10**9))
                    late.stop()
    """
    SAYS = "cannot start this Foo: Python is shutting down\n"

    def test_after_foos_hook_is_refused(self):
        self.ends(
            joined(self.REFUSED, "last_words.append(lambda: (start(f), start(Foo.Foo())))"),
            f"{self.SAYS}False True False\n{self.SAYS}False False False\n",
        )

    def test_in_an_earlier_atexit_function_is_not(self):
        self.ends(
            """
            g = Foo.Foo(0.001, None)
            last_words.append(lambda: print(len(g) >= 20, g.running))
            atexit.register(lambda: (g.start(), g.wait(20)))
            """,
            "True False\n",
        )

    def test_from_a_destructor_during_the_teardown_of_modules_is_refused(self):
        self.ends(
            joined(
                self.REFUSED,
                """
            class Last:
                def __init__(self, foo):
                    self.foo, self.start, self.new = foo, start, Foo.Foo(0.001, None)
                def __del__(self):
                    self.start(self.foo)
                    self.start(self.new)
            last = Last(f)
            last.cycle = last
            """,
            ),
            f"{self.SAYS}False True False\n{self.SAYS}False False False\n",
        )

    def test_from_a_callback_in_progress_is_refused(self):
        self.ends(
            """
            import os, threading
            threading.excepthook = lambda error: print(error.exc_value)
            entered = threading.Event()
            def start_late(n):
                entered.set()
                while g.running: os.sched_yield()
                h.start()
            g, h = Foo.Foo(3600, start_late), Foo.Foo(0.001, None)
            last_words.append(lambda: print(repr(g.error)[:12], h.running))
            g.start()
            entered.wait()
            """,
            self.SAYS + "RuntimeError False\n",
        )

    def test_from_a_daemon_thread_is_refused(self):
        # The callback keeps Foo's hook waiting until the thread has met with the refusal.
        self.ends(
            """
            import os, threading
            entered, refused = threading.Event(), threading.Event()
            def await_refusal(n):
                entered.set()
                refused.wait()
            def start_and_stop():
                h = Foo.Foo(0.001, None)
                try:
                    while True:
                        h.start()
                        h.stop()
                except RuntimeError as error:
                    print(error)
                    refused.set()
            g = Foo.Foo(3600, await_refusal)
            g.start()
            entered.wait()
            threading.Thread(target=start_and_stop, daemon=True).start()
            """,
            self.SAYS,
        )

    def test_when_foo_was_not_even_imported_before_is_served_and_stopped(self):
        """Its own hook comes too late; the host's gate, which closes last, stops it in order."""
        path = self.write(
            "script.py",
            """
            import atexit
            @atexit.register
            def late():
                import Foo
                global f
                f = Foo.Foo(0.001)
                f.start()
                f.wait(3)
            """,
        )

        def once():
            outcome = self.host(path)
            self.assertEqual((outcome.code, outcome.stderr), (0, ""))
            numbers = outcome.stdout.split()
            self.assertGreaterEqual(len(numbers), 3)
            self.assertEqual(numbers, [str(n) for n in range(len(numbers))])

        self.again(once)


class CallbackInProgress(BesideTenFoos):
    BLOCKED = """
            import threading
            entered = threading.Event()
            def block(n):
                entered.set()
                {}
            blocked = Foo.Foo(1.0, block)
            blocked.start()
            entered.wait()
    """
    # Says when Foo's hook has begun, as the main thread is in it then.
    CLOSING = """
            def tell():
                while blocked.running: time.sleep(0.001)
                print("closing", flush=True)
            threading.Thread(target=tell, daemon=True).start()
    """

    def test_is_waited_for(self):
        # The callbacks block until Foo's hook has begun to stop them, and are seen to return.
        self.ends(
            """
            import os, threading
            returned = []
            last_words.append(lambda: print(sorted(returned), any(g.running for g in blocked)))
            entered, release = threading.Semaphore(0), threading.Event()
            def block(number, n):
                entered.release()
                release.wait()
                returned.append(number)
            blocked = [Foo.Foo(3600, lambda n, i=i: block(i, n)) for i in range(5)]
            for g in blocked: g.start()
            for g in blocked: entered.acquire()
            def let_go():
                while any(g.running for g in blocked): os.sched_yield()
                release.set()
            threading.Thread(target=let_go, daemon=True).start()
            """,
            "[0, 1, 2, 3, 4] False\n",
        )

    def test_delays_what_fell_due_behind_it_and_loses_none(self):
        self.ends(
            """
            import os, threading
            called, entered = [], threading.Event()
            def block_once(n):
                called.append(n)
                if n == 5:
                    entered.set()
                    while g.running: os.sched_yield()  # until Foo's hook has begun
            g = Foo.Foo(0.001, block_once)
            run(g, called)
            entered.wait()
            f.wait(len(f) + 20)
            """,
            runs=11,
        )

    def abandoned(self, outcome, code, because):
        """What was abandoned is named, and nothing else was lost."""
        self.assertEqual(outcome.code, code)
        self.assertIn("on_message(0) of Foo(interval=1.0", outcome.stderr)
        self.assertIn("function block", outcome.stderr)
        self.assertEqual(outcome.stderr.count("abandoned"), 1, outcome.stderr)
        self.assertIn(because, outcome.stderr)
        self.check_report()

    def test_that_blocks_for_ever_is_abandoned_after_ten_seconds(self):
        for_ever = self.BLOCKED.replace("{}", "threading.Event().wait()")
        self.write_script(joined(for_ever, "sys.exit(3)"))
        self.again(lambda: self.abandoned(self.leave(HOST), 3, "10 s"), times=1)

    def interrupted(self, waiting, code, stays=""):
        """Ctrl-C ends the wait in Foo's hook; `stays` keeps the script itself from ending."""
        script = self.BLOCKED.replace("{}", waiting)
        self.write_script(joined(script, self.CLOSING, f"print(1, flush=True)\n{stays}"))

        def ctrl_c(process):
            if stays:
                process.send_signal(signal.SIGINT)
            self.assertEqual(process.stdout.readline(), b"closing\n")  # Foo's hook waits
            process.send_signal(signal.SIGINT)

        self.again(lambda: self.abandoned(self.leave(HOST, act=ctrl_c), code, "KeyboardInterrupt"))

    def test_that_blocks_for_ever_is_abandoned_at_ctrl_c(self):
        self.interrupted("threading.Event().wait()", 0)

    def test_that_blocks_outside_python_is_abandoned_at_ctrl_c(self):
        self.interrupted("__import__('os').read(__import__('os').pipe()[0], 1)", 0)

    def test_that_computes_for_ever_is_abandoned_at_ctrl_c(self):
        self.interrupted("while True: pass", 0)

    def test_that_blocks_for_ever_is_abandoned_at_the_second_ctrl_c(self):
        stays = "while True: time.sleep(0.05)\n"
        self.interrupted("threading.Event().wait()", -signal.SIGINT, stays)

    def test_at_ctrl_c_those_that_owe_messages_are_counted_too(self):
        """All of Foo's threads are blocked, so that others can deliver nothing: that is told."""
        blocks = self.BLOCKED.replace("{}", "threading.Event().wait()")
        self.write_script(
            joined(
                blocks,
                """
                entered = threading.Semaphore(0)
                def block_too(n):
                    entered.release()
                    threading.Event().wait()
                others = [Foo.Foo(1.0, block_too) for _ in range(15)]
                for each in others: each.start()
                for each in others: entered.acquire()
                """,
                self.CLOSING,
                "print(1, flush=True)",
            )
        )

        def ctrl_c(process):
            self.assertEqual(process.stdout.readline(), b"closing\n")  # Foo's hook waits
            process.send_signal(signal.SIGINT)

        def once():
            outcome = self.leave(HOST, act=ctrl_c)
            self.assertEqual(outcome.code, 0)
            self.assertEqual(outcome.stderr.count("abandoned"), 16, outcome.stderr)
            self.assertIn("10 Foo(s) had messages due", outcome.stderr)

        self.again(once)

    def test_ctrl_c_says_whose_end_it_interrupted(self):
        """Python names the atexit function that raised: by a name that tells something."""
        script = self.BLOCKED.replace("{}", "threading.Event().wait()")
        self.write_script(joined(script, self.CLOSING, "print(1, flush=True)"))

        def ctrl_c(process):
            self.assertEqual(process.stdout.readline(), b"closing\n")  # Foo's hook waits
            process.send_signal(signal.SIGINT)

        def once():
            outcome = self.leave(HOST, act=ctrl_c)
            self.assertNotIn("Boost.Python", outcome.stderr)
            self.assertRegex(outcome.stderr, "Exception ignored in .*Foo")

        self.again(once)


class WithAProgram(InFolder):
    def ends(self, script, stdout="", code=0):
        """Runs the script again and again: its output, nothing on stderr."""
        path = self.write("script.py", script)
        self.again(lambda: self.assertEqual(self.host(path), (code, stdout, "")))


class Ending(WithAProgram):
    """Ends that need a program of their own."""

    def test_a_thousand_foos(self):
        self.ends(
            """
            import atexit
            @atexit.register
            def report():
                print(sum(f.running for f in foos), min(map(len, foos)) > 0)
            import Foo
            foos = [Foo.Foo(0.05, None) for _ in range(1000)]
            for f in foos: f.start()
            """,
            "0 True\n",
        )

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

        def once():
            outcome = self.host(path)
            lines = "".join(f"{n}\n" for n in range(int(outcome.stderr)))
            self.assertEqual((outcome.code, outcome.stdout), (0, lines))

        self.again(once)

    def leaves_all_in_order(self, use):
        """What the script's globals refer to is finalized, though a Foo's callback knows them."""
        path = self.write(
            "script.py",
            f"""
            import Foo
            class Motor:
                def __del__(self, say=print): say("off")
            motor, file = Motor(), open("file", "w")
            def on_message(n): file.write("written")
            foo = Foo.Foo(3600, on_message)
            {use}
            """,
        )

        def once():
            outcome = self.host(path, cwd=self.folder)
            self.assertEqual(outcome, (0, "off\n", ""))
            written = "" if use == "pass" else "written"
            self.assertEqual((self.folder / "file").read_text(), written)

        self.again(once)

    def test_globals_of_a_script_whose_foo_was_never_started(self):
        self.leaves_all_in_order("pass")

    def test_globals_of_a_script_whose_foo_has_stopped(self):
        self.leaves_all_in_order("with foo: foo.wait(1)")

    def test_globals_of_a_script_whose_foo_runs(self):
        self.leaves_all_in_order("foo.start(); foo.wait(1)")

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

        def once():
            outcome = self.host(path)
            self.assertEqual((outcome.code, outcome.stdout), (0, ""))
            self.assertIn("1 Foo(s) had messages due that could not be delivered", outcome.stderr)

        self.again(once, times=1)

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

        def once():
            outcome = self.host(path)
            self.assertEqual(outcome.code, 0)
            self.assertEqual(outcome.stdout, "False ZeroDivisionError('division by zero')\n")
            self.assertEqual(outcome.stderr.count("Traceback"), 1)
            self.assertTrue(outcome.stderr.endswith("\nZeroDivisionError: division by zero\n"))

        self.again(once)

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


class InAStorm(WithAProgram):
    """Ends at whatever moment, while Foos are dropped and collected, or used for the first time."""

    def test_of_drops_by_ctrl_c(self):
        path = self.write(
            "script.py",
            """
            import faulthandler
            from Foo import Foo
            faulthandler.dump_traceback_later(50, exit=True)  # for a line that never comes
            print("ready", flush=True)
            while True:
                foos = [Foo(10.0 ** -(3 + n % 4), [].append) for n in range(8)]
                for foo in foos: foo.start()
                foo.wait(3, 0.001)
                del foo
                foos.clear()
            """,
        )

        def once():
            process = start(HOST, path, cwd=self.folder)
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            outcome = finish(process)
            self.assertEqual(outcome.code, -signal.SIGINT, outcome)
            self.assertEqual(outcome.stderr.splitlines()[-1:], ["KeyboardInterrupt"], outcome)

        self.again(once)

    def storm(self, round_of_it):
        """Daemon threads go round until Python ends, which it does after some rounds."""
        self.ends(
            joined(
                """
                import contextlib, gc, logging, threading
                from Foo import Foo
                rounds = threading.Semaphore(0)
                """,
                round_of_it,
                """
                def storm():
                    try:
                        while True:
                            go_round()
                            rounds.release()
                    except RuntimeError as error:
                        assert "Python is shutting down" in str(error), error
                for _ in range(4):
                    threading.Thread(target=storm, daemon=True).start()
                for _ in range(20):
                    rounds.acquire()
                """,
            )
        )

    def test_of_cycles_that_are_collected_within_locks(self):
        self.storm(
            """
            class Collects(logging.Handler):
                def emit(self, record):
                    if record.name == "collects":
                        gc.collect()
            logging.getLogger().addHandler(Collects())
            class Holder:
                def __init__(self):
                    self.foo = Foo(0.0001, self.handle)
                    self.foo.start()
                def handle(self, n):
                    logging.getLogger("callback").error(n)
            def go_round():
                for _ in range(5):
                    Holder().foo.wait(2, 0.01)
                logging.getLogger("collects").error("collect")
            """
        )

    def test_of_subclasses_with_a_del(self):
        self.storm(
            """
            class Its(Foo):
                def __init__(self):
                    self.whole = True
                    super().__init__(0.0001, self.handle)
                def handle(self, n):
                    self.whole
                    self.stop()
                    with contextlib.suppress(RuntimeError):  # it was dropped, or Python ends
                        self.start()
                def __del__(self):
                    self.interval
            def go_round():
                for _ in range(5):
                    foo = Its()
                    foo.start()
                    foo.wait(1, 0.01)
                del foo
                gc.collect()
            """
        )

    def test_of_first_uses_from_many_threads(self):
        """The first thread that is done lets the program end."""
        self.ends(
            """
            import threading
            together, done = threading.Barrier(8), threading.Event()
            def use():
                together.wait()
                from Foo import Foo
                foo = Foo(0.001, None)
                try:
                    foo.start()
                except RuntimeError as error:
                    assert "Python is shutting down" in str(error), error
                aiter(foo)
                done.set()
            for _ in range(8):
                threading.Thread(target=use, daemon=True).start()
            done.wait()
            """
        )
