"""fork() while Foos run: the child finds them stopped and starts them again; the parent's go on."""

from host import HOST
from ten_foos import BesideTenFoos, joined

FORK = """
    import contextlib, os, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork() beside threads, since 3.12

    def go_on():
        '''In a child: every Foo is stopped, with its messages, and is started again.'''
        global report_to
        assert len(os.listdir("/proc/self/task")) == threads_at_first
        assert not any(each.running for each in foos)
        before, report_to = rows[:], f"child{os.getpid()}.json"
        rows.clear()
        for each, (messages, called, *_) in zip(foos, before):
            assert messages == each.messages == list(range(len(each))), messages
            assert called in (None, messages), (messages, called)
            run(each, called)
        assert f.wait(len(f) + 5, 60)

    def leave_at_once(code):
        '''Without atexit functions, as multiprocessing's children.'''
        global end
        end = time.monotonic_ns() - 10_000  # what is late by its leeway, stop() need not deliver
        for each in foos:
            each.stop()
        report()
        os._exit(code)

    def code_of(child):
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """


class Forks(BesideTenFoos):
    def forks(self, script, stdout="", children=0):
        """Forks again and again. The parent loses nothing, nor do the children that report."""
        self.write_script(joined(FORK, script))

        def once():
            self.assertEqual(self.leave(HOST), (0, stdout, ""))
            self.check_report()
            reports = [path.name for path in self.folder.glob("child*.json")]
            for name in reports:
                self.check_report(name)
            self.assertEqual(len(reports), children)

        self.again(once)


class InTheScript(Forks):
    CHILDREN = """
        codes = []
        for n in range(3):
            child = os.fork()
            if child == 0:
                go_on()
                {}
                break
            codes.append(code_of(child))
        else:
            print(*codes)
    """

    def test_child_that_ends_with_the_script(self):
        self.forks(self.CHILDREN.replace("{}", "pass"), "0 0 0\n", 3)

    def test_child_that_exits(self):
        self.forks(self.CHILDREN.replace("{}", "sys.exit(7)"), "7 7 7\n", 3)

    def test_child_that_ends_with_an_uncaught_exception(self):
        leave = "sys.stderr = None; 1 / 0"
        self.forks(self.CHILDREN.replace("{}", leave), "1 1 1\n", 3)

    def test_child_that_ends_at_once(self):
        self.forks(self.CHILDREN.replace("{}", "os._exit(8)"), "8 8 8\n")

    def test_child_that_ends_by_signal(self):
        leave = "os.kill(os.getpid(), 15)"
        self.forks(self.CHILDREN.replace("{}", leave), "-15 -15 -15\n")

    def test_child_that_never_looks_at_foo(self):
        self.forks(
            """
            children = []
            for _ in range(10):
                child = os.fork()
                if child == 0:
                    report_to = os.devnull
                    sys.exit(3)
                children.append(child)
            print(*map(code_of, children))
            """,
            "3 3 3 3 3 3 3 3 3 3\n",
        )

    def test_child_of_a_child(self):
        self.forks(
            """
            depth = 0
            while depth < 3:
                child = os.fork()
                if child:
                    print(depth, code_of(child), flush=True)
                    break
                depth += 1
                go_on()
            sys.exit(depth)
            """.replace("sys.exit(depth)", "if depth: sys.exit(depth)"),
            "2 3\n1 2\n0 1\n",
            3,
        )

    def test_child_of_multiprocessing(self):
        self.forks(
            """
            import multiprocessing
            def target():
                go_on()
                leave_at_once(4)
            child = multiprocessing.get_context("fork").Process(target=target)
            child.start()
            child.join()
            print(child.exitcode)
            """,
            "4\n",
            1,
        )

    def test_preexec_fn(self):
        self.forks(
            """
            import subprocess
            def before_exec():
                global end
                go_on()
                end = time.monotonic_ns() - 10_000
                for each in foos:
                    each.stop()
                report()
            for _ in range(3):
                subprocess.run(["echo", "done"], preexec_fn=before_exec, check=True)
            """,
            "done\n" * 3,
            3,
        )

    def test_in_an_atexit_function_after_foos_own(self):
        self.forks(
            """
            def fork():
                child = os.fork()
                try:
                    f.start()
                except RuntimeError as error:
                    os.write(1, f"{error}\\n".encode())
                if child:
                    os.write(1, f"{code_of(child)}\\n".encode())
            last_words.append(fork)
            """,
            "cannot start this Foo: Python is shutting down\n" * 2 + "0\n",
        )


class BesideOtherThreads(Forks):
    """The threads hold what Foo uses, or wait for it, at the moment of the fork."""

    FORKS = """
        for n in range(10):
            child = os.fork()
            if child == 0:
                go_on()
                leave_at_once(3)
            assert code_of(child) == 3
    """

    def forks_beside(self, threads):
        self.forks(joined(threads, self.FORKS), children=10)

    def test_that_compute(self):
        self.forks_beside("""
            def compute():
                while True: sum(range(100))
            sys.setswitchinterval(1e-5)
            for _ in range(3):
                threading.Thread(target=compute, daemon=True).start()
        """)

    def test_that_wait_for_foos(self):
        self.forks_beside("""
            for each in foos:
                threading.Thread(target=each.wait, args=[10**9], daemon=True).start()
        """)

    def test_that_stop_and_start_foos(self):
        self.forks_beside("""
            def stop_and_start():
                g = Foo.Foo(1e-4, None)
                with contextlib.suppress(RuntimeError):  # Python is shutting down
                    while True:
                        g.start()
                        g.wait(len(g) + 1)
                        g.stop()
            for _ in range(3):
                threading.Thread(target=stop_and_start, daemon=True).start()
        """)

    def test_that_stop_a_foo_whose_callback_blocks(self):
        self.forks(
            """
            entered, release = threading.Event(), threading.Event()
            def block(n):
                entered.set()
                release.wait()
            blocked = Foo.Foo(3600, block)
            blocked.start()
            entered.wait()
            threading.Thread(target=blocked.stop).start()
            while blocked.running: time.sleep(0)
            for n in range(10):
                child = os.fork()
                if child == 0:
                    go_on()
                    release.set()
                    blocked.start()
                    assert blocked.wait(2, 60)
                    blocked.stop()
                    assert blocked.messages == [0, 1]
                    leave_at_once(3)
                assert code_of(child) == 3
            release.set()
            """,
            children=10,
        )

    def test_that_make_and_drop_foos(self):
        self.forks_beside("""
            def make_and_drop():
                with contextlib.suppress(RuntimeError):  # Python is shutting down
                    while True:
                        Foo.Foo(1e-4, lambda n: None).start()
            for _ in range(3):
                threading.Thread(target=make_and_drop, daemon=True).start()
        """)

    def test_that_start_the_first_foo_of_a_process(self):
        # Nothing runs in a child until its first start(), within which the next fork comes.
        self.forks("""
            def start():
                ready.set()
                f.start()
            for n in range(30):
                child = os.fork()
                if child == 0:
                    ready = threading.Event()
                    starter = threading.Thread(target=start)
                    starter.start()
                    ready.wait()
                    grandchild = os.fork()
                    if grandchild == 0:
                        os._exit(4)
                    starter.join()
                    assert f.wait(len(f) + 1, 60)
                    os._exit(code_of(grandchild))
                assert code_of(child) == 4
        """)


class InACallback(Forks):
    def test_beside_foos_that_deliver(self):
        self.forks(
            """
            children = []
            def fork(n):
                if n < 5:
                    child = os.fork()
                    if child == 0:
                        assert not forking.running
                        go_on()
                        leave_at_once(n)
                    children.append(child)
            forking = Foo.Foo(0.001, fork)
            forking.start()
            assert forking.wait(5, 60)
            print(*map(code_of, children))
            """,
            "0 1 2 3 4\n",
            5,
        )

    def test_of_several_foos_at_once(self):
        self.forks(
            """
            codes = []
            def fork(n):
                if n < 3:
                    child = os.fork()
                    if child == 0:
                        assert not any(each.running for each in forking)
                        go_on()
                        leave_at_once(n)
                    codes.append((n, code_of(child)))
            forking = [Foo.Foo(0.001, fork) for _ in range(5)]
            for each in forking: each.start()
            for each in forking: assert each.wait(3, 60)
            print(len(codes), all(n == code for n, code in codes))
            """,
            "15 True\n",
            15,
        )

    RETURNS = """
        def fork(n):
            global child, end, report_to
            child = os.fork()
            if child == 0:
                atexit.register(os.write, 1, b"atexit\\n")
                sys.stdout.write("not flushed\\n")
                {}
                return
            forked.set()
        forked = threading.Event()
        forking = Foo.Foo(3600, fork)
        forking.start()
        forked.wait()
        print(code_of(child))
    """
    ENDED = "atexit\nnot flushed\n0\n"

    def test_that_returns_in_the_child_ends_it(self):
        leave = "report_to = os.devnull"
        self.forks(self.RETURNS.replace("{}", leave), self.ENDED)

    def test_that_returns_in_the_child_ends_it_though_foos_run_there(self):
        leave = "go_on(); end = time.monotonic_ns()"
        self.forks(self.RETURNS.replace("{}", leave), self.ENDED, 1)

    def test_that_raises_in_the_child_ends_it(self):
        leave = "sys.stderr, report_to = open(os.devnull, 'w'), os.devnull; 1 / 0"
        self.forks(self.RETURNS.replace("{}", leave), self.ENDED)

    def test_that_exits_in_the_child_ends_it(self):
        leave = "report_to = os.devnull; sys.exit(5)"
        self.forks(self.RETURNS.replace("{}", leave), self.ENDED)
