"""Signals, pipes, virtual environments and child processes: the host among other processes."""

import re
import shlex
import shutil
import signal
from pathlib import Path

from host import HOST, STOCK, InFolder, Terminal, environment, finish, run, start, wait_until_asleep


class Signals(InFolder):
    def interrupted(self, program, script, number=signal.SIGINT, busy=False):
        """Sends a signal to the script when it has printed a line and waits, unless it is busy."""
        process = start(program, "-c", script, cwd=self.folder)
        process.stdout.readline()
        if not busy:
            wait_until_asleep(process)
        process.send_signal(number)
        return finish(process)

    def test_ctrl_c_ends_a_script_by_signal(self):
        for waiting in (
            "time.sleep(600)",
            "threading.Event().wait()",
            "os.read(os.pipe()[0], 1)",
            "any(0 for _ in iter(int, 1))",
        ):
            with self.subTest(waiting):
                script = f"import os, threading, time; print(1, flush=True); {waiting}"
                host, stock = (
                    self.interrupted(program, script, busy="iter" in waiting)
                    for program in (HOST, STOCK)
                )
                self.assertEqual((host.code, host.stdout), (stock.code, stock.stdout))
                self.assertEqual(host.stderr.splitlines()[-1], "KeyboardInterrupt")
                self.assertEqual(host.code, -signal.SIGINT)

    def test_ctrl_c_interrupts_foos_wait(self):
        script = """
import Foo
f = Foo.Foo(3600, None)
f.start()
f.wait(1)
print(1, flush=True)
f.wait(2)
"""
        outcome = self.interrupted(HOST, script)
        self.assertEqual(outcome.code, -signal.SIGINT)
        self.assertEqual(outcome.stderr.splitlines()[-1], "KeyboardInterrupt")

    def test_ctrl_c_can_be_caught_while_foo_runs(self):
        script = self.write(
            "script.py",
            """
            import sys, time, Foo
            f = Foo.Foo(0.001, None)
            f.start()
            try:
                print(1, flush=True)
                while True: time.sleep(0.05)
            except KeyboardInterrupt:
                print(f.running, f.wait(len(f) + 20, 30))
                sys.exit(4)
            """,
        )
        outcome = self.interrupted(HOST, f"exec(open({str(script)!r}).read())")
        self.assertEqual(outcome, (4, "True True\n", ""))

    def test_ctrl_c_from_the_terminal(self):
        for program in (HOST, STOCK):
            terminal = Terminal(
                program, "-c", "import time; print('ready', flush=True); time.sleep(600)"
            )
            self.addCleanup(terminal.close)
            terminal.read_until("ready")
            wait_until_asleep(terminal.process)
            terminal.send("\x03")
            code, rest = terminal.finish()
            self.assertEqual(code, -signal.SIGINT)
            self.assertTrue(rest.endswith("KeyboardInterrupt\n"), rest)

    def test_ctrl_c_at_the_prompt_keeps_it(self):
        for program in (HOST, STOCK):
            terminal = Terminal(program, env=environment(HOME=str(self.folder)))
            self.addCleanup(terminal.close)
            terminal.read_until(">>> ")
            terminal.send("half a li")
            terminal.read_until("half a li")
            wait_until_asleep(terminal.process)
            terminal.send("\x03")
            terminal.read_until("KeyboardInterrupt")
            terminal.read_until(">>> ")
            terminal.send("import time; print('sl' 'eeps'); time.sleep(600)\n")
            terminal.read_until("\nsleeps\n")
            wait_until_asleep(terminal.process)
            terminal.send("\x03")
            terminal.read_until("KeyboardInterrupt")
            terminal.read_until(">>> ")
            terminal.send("print(6 * 7)\n")
            terminal.read_until("\n42\n")
            terminal.read_until(">>> ")
            terminal.send("\x04")
            self.assertEqual(terminal.finish()[0], 0)

    def test_other_signals_end_the_program(self):
        plain = "import time; print(1, flush=True); time.sleep(600)"
        with_foo = "import Foo; f = Foo.Foo(0.001, None); f.start(); " + plain
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGKILL):
            with self.subTest(number):
                stock = self.interrupted(STOCK, plain, number)
                self.assertEqual(stock.code, -number)
                self.assertEqual(self.interrupted(HOST, plain, number), stock)
                self.assertEqual(self.interrupted(HOST, with_foo, number), stock)

    def test_handler_runs_while_foo_runs(self):
        script = """
import Foo, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
foos = [Foo.Foo(0.001, None) for _ in range(10)]
for f in foos: f.start()
print(1, flush=True)
while True: time.sleep(0.05)
"""
        self.assertEqual(self.interrupted(HOST, script, signal.SIGTERM), (5, "", ""))


class Pipes(InFolder):
    def broken(self, program, script):
        """Reads one line of what the script prints, and closes the pipe."""
        process = start(program, "-c", script, cwd=self.folder)
        first = process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        return first, finish(process)

    def test_broken_pipe(self):
        script = "while True: print('x' * 1000, flush=True)"
        host, stock = (self.broken(program, script) for program in (HOST, STOCK))
        self.assertEqual(host, stock)
        self.assertIn("BrokenPipeError", host[1].stderr)

    def test_head(self):
        script = "for i in range(10**6): print(i)"
        for program in (HOST, STOCK):
            outcome = run("sh", "-c", f'"$0" -c "{script}" | head -1', program)
            self.assertEqual((outcome.code, outcome.stdout), (0, "0\n"))
            self.assertIn("BrokenPipeError", outcome.stderr)

    def test_broken_pipe_ends_foo_with_the_error(self):
        script = """
import Foo, sys
f = Foo.Foo(0.001, lambda n: print(n, flush=True))
f.start()
f.wait(10**9)
print(f.running, repr(f.error), file=sys.stderr)
"""
        first, outcome = self.broken(HOST, script)
        self.assertEqual(first, b"0\n")
        self.assertIn("Exception in thread", outcome.stderr)
        self.assertIn("False BrokenPipeError(32, 'Broken pipe')\n", outcome.stderr)
        stock = """
import threading
def tick():
    while True:
        print(1, flush=True)
threading.Thread(target=tick).start()
"""
        self.assertEqual(outcome.code, self.broken(STOCK, stock)[1].code)


class VirtualEnvironments(InFolder):
    def make(self, program, *options):
        command = ("-m", "venv", "--without-pip", "--clear", *options, "venv")
        self.assertEqual(run(program, *command, cwd=self.folder), (0, "", ""))

    def test_is_as_the_stock_interpreter_makes_it(self):
        def made_by(program, *options):
            self.make(program, *options)
            packages = next(self.folder.glob("venv/lib/*/site-packages"))
            (packages / "only_here.py").write_text("")
            text = (self.folder / "venv/pyvenv.cfg").read_text()
            settings = dict(line.split(" = ", 1) for line in text.splitlines())
            self.assertEqual(settings.pop("home"), str(Path(program).parent))
            for name in ("executable", "command"):  # new in 3.11
                settings.pop(name, None)
            show = "sys.path, sys.prefix, sys.base_prefix, sys.executable, site.ENABLE_USER_SITE"
            shown = run(
                self.folder / "venv/bin/python", "-c", f"import site, sys, only_here; print({show})"
            )
            return settings, shown

        for options in ((), ("--copies",), ("--system-site-packages",)):
            with self.subTest(options):
                host, stock = (made_by(program, *options) for program in (HOST, STOCK))
                self.assertEqual(host, stock)
                self.assertIn(f" {self.folder}/venv ", host[1].stdout)

    def test_its_python_is_the_host(self):
        script = "import Foo, sys; print(Foo.__spec__.origin, sys.prefix, sys.executable)"
        for options in ((), ("--copies",)):
            self.make(HOST, *options)
            for name in ("python", "python3"):
                with self.subTest(name, options=options):
                    outcome = run(self.folder / "venv/bin" / name, "-c", script)
                    self.assertEqual(outcome, (0, f"built-in {self.folder}/venv PYTHON\n", ""))

    def test_goes_on_after_its_host_was_moved_as_the_tutorial_says(self):
        hosts = [self.folder / name / "handoff" for name in ("here", "there")]
        for each in hosts:
            each.parent.mkdir()
        shutil.copy(HOST, hosts[0])
        self.make(hosts[0])
        packages = next(self.folder.glob("venv/lib/*/site-packages"))
        (packages / "only_here.py").write_text("")
        hosts[0].rename(hosts[1])
        for each in self.folder.glob("venv/bin/*"):
            if each.is_symlink():
                each.unlink()
        upgrade = ("-m", "venv", "--without-pip", "--upgrade", "venv")
        self.assertEqual(run(hosts[1], *upgrade, cwd=self.folder), (0, "", ""))
        script = "import Foo, only_here, sys; print(Foo.__spec__.origin, sys.base_exec_prefix)"
        outcome = run(self.folder / "venv/bin/python", "-c", script)
        self.assertEqual((outcome.code, outcome.stdout.split()[0]), (0, "built-in"), outcome)

    def test_whose_host_is_for_another_python_now_says_how_to_prepare_it(self):
        self.make(HOST)
        python = self.folder / "venv/bin/python"
        (library,) = self.folder.glob("venv/lib/*")
        library.rename(library.with_name("python3.2"))
        code, shown, said = run(python, "-c", "print('ran')")
        self.assertEqual((code, shown), (0, "ran\n"))
        self.assertIn(f"environment {self.folder}/venv has no packages for {library.name}", said)
        advice = re.search(r"with `'PYTHON' (.*)`, then install", said)[1]
        self.assertEqual(run(python, *shlex.split(advice), "--without-pip").code, 0)
        self.assertEqual(run(python, "-c", "print('ran')"), (0, "ran\n", ""))

    def test_its_child_processes_stay_in_it(self):
        self.make(HOST)
        script = """
import subprocess, sys
child = "import Foo, sys; print(sys.prefix)"
subprocess.run([sys.executable, "-c", child], check=True)
"""
        outcome = run(self.folder / "venv/bin/python", "-c", script)
        self.assertEqual(outcome, (0, f"{self.folder}/venv\n", ""))


class Multiprocessing(InFolder):
    """Children of a process in which two Foos run."""

    PARENT = """
import concurrent.futures, multiprocessing, os, sys
import Foo

called = []
foos = [Foo.Foo(0.001, None), Foo.Foo(0.001, called.append)]

def tick(count):
    with Foo.Foo(0.001, None) as f:
        return f.wait(count, 60) and f.messages[:count] == list(range(count))

def where(_):
    return sys.executable, "Foo" in sys.builtin_module_names

def look_and_go_on():
    threads = len(os.listdir("/proc/self/task"))
    state = [f.running for f in foos]
    before = [len(f) for f in foos]
    assert threads == 1, threads
    assert state == [False, False], state
    assert min(before) >= 5, before
    assert called == foos[1].messages, (called, before)
    for f, count in zip(foos, before):
        f.start()
        assert f.wait(count + 20, 60), f
        assert f.messages[:count + 20] == list(range(count + 20)), f.messages
    assert all(f.running for f in foos)

def main(context):
    {}

if __name__ == "__main__":
    for f in foos:
        f.start()
    for f in foos:
        assert f.wait(5, 60), f
    main(multiprocessing.get_context(sys.argv[1]))
    for f in foos:
        assert f.running, f
        assert f.wait(len(f) + 5, 60), f
        f.stop()  # else a message may come between what is compared
        assert f.messages == list(range(len(f))), f
"""
    POOL = """
    with context.Pool(2) as pool:
        print(pool.map(tick, [3, 10, 30]), set(pool.map(where, [0, 1])))
        pool.close()
        pool.join()
    """
    EXECUTOR = """
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        print(list(pool.map(tick, [3, 10, 30])), set(pool.map(where, [0, 1])))
    """
    POOL_SHOWS = "[True, True, True] {('PYTHON', True)}\n"

    def shows(self, method, main):
        """What the parent prints; it must end well and say nothing on stderr."""
        outcome = self.host(self.write("parent.py", self.PARENT.replace("{}", main, 1)), method)
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        return outcome.stdout

    def test_pool_by_spawn(self):
        self.assertEqual(self.shows("spawn", self.POOL), self.POOL_SHOWS)

    def test_pool_by_forkserver(self):
        self.assertEqual(self.shows("forkserver", self.POOL), self.POOL_SHOWS)

    def test_pool_by_fork(self):
        self.assertEqual(self.shows("fork", self.POOL), self.POOL_SHOWS)

    def test_executor_by_spawn(self):
        self.assertEqual(self.shows("spawn", self.EXECUTOR), self.POOL_SHOWS)

    def test_fork_finds_foos_stopped_and_starts_them_again(self):
        main = """
    for _ in range(10):
        child = context.Process(target=look_and_go_on)
        child.start()
        child.join()
        print(child.exitcode, end=" ")
        """
        self.assertEqual(self.shows("fork", main), "0 " * 10)

    def test_a_wait_in_the_child_knows_that_its_foo_is_stopped(self):
        main = """
    f = Foo.Foo(0.001, None)
    f.start()
    assert f.wait(3, 60)
    import threading
    waiting = threading.Thread(target=f.wait, args=[10**9], daemon=True)
    waiting.start()
    child = context.Process(target=f.wait, args=[10**9])  # false at once, not in a million seconds
    child.start()
    child.join(30)
    print(child.exitcode)
    f.stop()
        """
        self.assertEqual(self.shows("fork", main).strip(), "0")

    def test_fork_from_on_message(self):
        main = """
    children = []
    def fork(n):
        if n < 3:
            child = context.Process(target=tick, args=[5])
            child.start()
            children.append(child)
    with Foo.Foo(0.001, fork) as f:
        assert f.wait(3, 60), f.error
    for child in children:
        child.join()
        print(child.exitcode, end=" ")
        """
        self.assertEqual(self.shows("fork", main), "0 " * 3)


class Children(InFolder):
    FOOS = """
import os, subprocess, sys, Foo
foos = [Foo.Foo(0.001, None) for _ in range(10)]
for f in foos: f.start()
"""

    def shows(self, script):
        # Since 3.12 os.fork() warns of threads, whoever made them.
        outcome = self.host("-W", "ignore::DeprecationWarning", "-c", self.FOOS + script)
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        return outcome.stdout

    def test_forked_child_leaves_while_foos_run(self):
        script = """
codes = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        for f in foos: f.start()
        foos[9].wait(len(foos[9]) + 3)
        LEAVE
        sys.exit()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(*codes)
"""
        for leave, code in (("pass", 0), ("sys.exit(7)", 7), ("os._exit(8)", 8), ("1 / 0", 1)):
            with self.subTest(leave):
                outcome = self.host("-c", self.FOOS + script.replace("LEAVE", leave))
                self.assertEqual((outcome.code, outcome.stdout.split()), (0, [str(code)] * 10))
                errors = outcome.stderr.count("Traceback")
                self.assertEqual(errors, 10 if leave == "1 / 0" else 0, outcome.stderr)

    def test_forked_child_that_never_looks_at_foo(self):
        shown = self.shows("""
codes = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        sys.exit(3)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(*codes)
""")
        self.assertEqual(shown.split(), ["3"] * 20)

    def test_preexec_fn_while_foo_runs(self):
        shown = self.shows("""
def before_exec():
    assert not any(f.running for f in foos)
    os.environ["NAME"] = "x"
for _ in range(20):
    subprocess.run(["/bin/sh", "-c", "echo done"], preexec_fn=before_exec, check=True)
print(all(f.running and f.wait(len(f) + 5, 60) for f in foos))
""")
        self.assertEqual(shown, "done\n" * 20 + "True\n")

    def test_subprocess_of_sys_executable_imports_foo(self):
        shown = self.shows("""
child = "import Foo\\nwith Foo.Foo(0.001, None) as f: print(f.wait(3, 60), Foo.__spec__.origin)"
for options in [], ["-I"], ["-S", "-E"]:
    subprocess.run([sys.executable, *options, "-c", child], check=True)
""")
        self.assertEqual(shown, "True built-in\n" * 3)

    def test_exec_while_foo_runs(self):
        shown = self.shows("""
os.execv(sys.executable, [sys.executable, "-c", "import Foo; print(Foo.Foo().running)"])
""")
        self.assertEqual(shown, "False\n")
