"""Attaching: a process that runs or hangs gets a tool, or an explanation, and comes to no harm."""

import contextlib
import ctypes
import json
import os
import pwd
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest
import unittest.mock
from pathlib import Path

from host import (
    HOST,
    STOCK,
    TIMEOUT,
    InFolder,
    environment,
    finish,
    of_each_thread,
    start,
    wait_until_asleep,
)
from test_gilwatch import DEADLOCK, HANGS, RELOCK

MODULES = os.environ["MODULES_FOLDER"]
PACKAGES = os.environ["PYTHON_PACKAGES"]
TOOLS = os.environ.get("HANDOFF_TOOLS", "")  # a Python that has what `make test-all` installs

sys.path.insert(0, PACKAGES)
from gilwatch.core_file import Crash  # noqa: E402
from gilwatch.outside import how_to_install_pystack, report  # noqa: E402
from handoff_attach.process import Process, RefusedError, what_allows_ptrace  # noqa: E402
from handoff_attach.queued_call import queue_call  # noqa: E402

IS_ROOT = os.geteuid() == 0


PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17


def may_trace():
    """Whether a process may trace another. Under qemu's emulation of a processor none may."""
    other = start(STOCK, "-c", "input()", stdin=subprocess.PIPE)
    try:
        Path(f"/proc/{other.pid}/mem").open("rb").close()
        return ctypes.CDLL(None).ptrace(PTRACE_SEIZE, other.pid, None, None) == 0
    except OSError:
        return False
    finally:
        other.communicate()


def has_pystack():
    if not TOOLS:
        return False
    asked = subprocess.run([TOOLS, "-c", "import pystack"], stderr=subprocess.DEVNULL, check=False)
    return asked.returncode == 0


def needs_no_gdb():
    asked = (STOCK, "-c", "import sys; print(hasattr(sys, 'remote_exec'))")
    return subprocess.run(asked, capture_output=True, check=True).stdout == b"True\n"


NOT_TRACED = "processes may not trace each other here (ptrace_scope, a container, qemu)"
GDB = shutil.which("gdb") is not None
with_pystack = unittest.skipUnless(has_pystack(), "needs pystack: `make test-all`")
with_gdb = unittest.skipUnless(GDB, "needs gdb")
with_either = unittest.skipUnless(GDB or needs_no_gdb(), "needs gdb before Python 3.14")
as_root = unittest.skipUnless(IS_ROOT, "only root makes this")

# Computes until its stdin ends; then it says so, and ends.
BUSY = """
import ctypes, sys, threading
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print('ready', flush=True)
while not ended.is_set(): sum(range(100))
print('end')
"""
# Holds the GIL until a byte comes, while another thread wants it.
HUNG = """
import ctypes, sys, threading
begun = threading.Event()
threading.Thread(target=lambda: (begun.set(), [None for _ in range(10**5)])).start()
begun.wait()
print('ready', flush=True)
ctypes.PyDLL(None).read(0, bytes(1), 1)
print('end')
"""


@unittest.skipUnless(may_trace(), NOT_TRACED)
class Attached(InFolder):
    def target(self, code, *options, python=STOCK, says=b"ready\n", **how):
        """A process that has come to where it says so; it is killed after the test."""
        how = {"env": environment(), "cwd": self.folder, "stdin": subprocess.PIPE, **how}
        process = start(python, *options, "-c", code, **how)
        self.addCleanup(self.end, process)
        said = process.stdout.readline()
        self.assertEqual(said, says, said or (process.stderr and process.stderr.read()))
        return process

    def end(self, process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None and process.stdin.closed:
            process.stdin = None
        process.communicate()

    def attach(self, tool, process, *options, python=STOCK, variables=None, **how):
        pid = getattr(process, "pid", process)
        changed = environment(PYTHONPATH=PACKAGES, **(variables or {}))
        command = (python, "-m", tool, "--pid", str(pid), *options)
        return finish(start(*command, cwd=self.folder, env=changed, **how))

    def assert_unharmed(self, process):
        """It goes on, and ends as it would have."""
        status = Path(f"/proc/{process.pid}/status").read_text()
        self.assertNotRegex(status, r"State:\s+[tTZ]")
        self.assertRegex(status, r"TracerPid:\s+0")
        process.stdin.write(b"x")
        output, errors = process.communicate(timeout=TIMEOUT)
        self.assertEqual((process.returncode, output), (0, b"end\n"), errors)
        return errors.decode()

    def assert_refused(self, outcome, said):
        """In one sentence."""
        self.assertEqual(outcome.code, 2, outcome)
        self.assertRegex(outcome.stderr, said)
        self.assertEqual(outcome.stderr.count("\n"), 1, outcome.stderr)


class Explains(Attached):
    """From outside, as gilwatch from inside."""

    def hang(self, name, kind="lines", **how):
        folder = str(Path(MODULES) / "hangs" / kind)
        code = (
            f"import sys; sys.path.insert(0, {folder!r}); import hangs; print('ready', flush=True);"
            f" hangs.{name}()"
        )
        process = self.target(code, **how)
        if name != "works":
            wait_until_asleep(process)
        return process

    def report(self, *options):
        command = (TOOLS, "-m", "gilwatch", *map(str, options))
        outcome = finish(start(*command, env=environment(PYTHONPATH=PACKAGES)))
        self.assertEqual(outcome.code, 0, outcome)
        return outcome.stderr.splitlines()

    def core_of(self, process):
        made = ("gcore", "-o", self.folder / "core", process.pid)
        subprocess.run([*map(str, made)], capture_output=True, check=True, timeout=TIMEOUT)
        return self.folder / f"core.{process.pid}"

    def assert_names(self, report, name):
        does, where = HANGS[name]
        self.assertRegex(
            report[0],
            rf"^gilwatch: the main thread holds the GIL and {does} in .*(?:{where}).*"
            r" at hangs\.hpp:\d+(?:; 1 thread waits for it: thread '\w+' in .*"
            r"append_to_log(?:\(\))? at hangs\.hpp:\d+)?$",
        )
        self.assertRegex(report[1], "^  do: .*release the GIL|^  do: .*initialise it before")
        # The holder's stack comes first.
        self.assertRegex(report[3], r"^the main thread, tid \d+, holds the GIL$")

    def assert_explained(self, name):
        process = self.hang(name)
        self.assert_names(self.report("--pid", process.pid), name)
        self.assertNotRegex(Path(f"/proc/{process.pid}/status").read_text(), r"State:\s+[tTZ]")
        if GDB:
            core = self.core_of(process)
            self.assert_names(self.report("--core", core), name)

    @with_pystack
    def test_beside_a_tool_that_is_in_the_process(self):
        """Which stands between CPython and the wait for the GIL."""
        folder = str(Path(MODULES) / "hangs" / "lines")
        code = (
            f"import sys; sys.path.insert(0, {folder!r}); import hangs; print('ready', flush=True);"
            " hangs.mutex()"
        )
        for tool in ("gilcheck", "gilwatch"):
            with self.subTest(tool):
                inside = ("-m", tool, *(("--after", "100") if tool == "gilwatch" else ()))
                process = self.target(code, *inside, env=environment(PYTHONPATH=PACKAGES))
                wait_until_asleep(process)
                self.assertRegex(self.report("--pid", process.pid)[0], "; 1 thread waits for it: ")

    @with_pystack
    def test_a_join(self):
        self.assert_explained("join")

    @with_pystack
    def test_a_mutex(self):
        self.assert_explained("mutex")

    @with_pystack
    def test_a_static_initialiser(self):
        self.assert_explained("once")

    @with_pystack
    def test_a_condition_variable(self):
        self.assert_explained("condition")

    @with_pystack
    def test_native_work(self):
        self.assert_explained("works")

    @with_pystack
    def test_a_pipe(self):
        self.assert_explained("read")

    def assert_says(self, code, said):
        process = self.target(code)
        wait_until_asleep(process)
        self.assertRegex(self.report("--pid", process.pid)[0], said)

    @with_pystack
    def test_a_lock_of_pythons(self):
        self.assert_says(
            "import threading\n"
            "def take_again():\n"
            "    lock = threading.Lock(); lock.acquire(); print('ready', flush=True)\n"
            "    lock.acquire()\n"
            "take_again()",
            r"^gilwatch: nobody holds the GIL; the main thread waits for a lock of Python's in "
            r"take_again\(\) at <string>:4$",
        )

    @with_pystack
    def test_a_python_thread_that_is_joined(self):
        self.assert_says(
            "import threading, time\n"
            "def end_worker():\n"
            "    worker = threading.Thread(target=time.sleep, args=(3600,)); worker.start()\n"
            "    print('ready', flush=True); worker.join()\n"
            "end_worker()",
            r"the main thread waits for the end of a Python thread in end_worker\(\) at <string>:4",
        )

    @with_pystack
    def test_a_pool_and_its_workers(self):
        code = (
            "import subprocess; child = subprocess.Popen(['sleep', '3600'])\n"
            "print('ready', flush=True); child.wait()"
        )
        report = self.report("--pid", self.target(code).pid)
        said = r"^it has the child process (\d+), which may hang as well: `gilwatch --pid \1`$"
        self.assertRegex(report[-1], said)

    @with_pystack
    def test_why_it_cannot_read_one_whose_holder_has_ended(self):
        outcome = self.attach("gilwatch", self.hang("keep"), python=TOOLS)
        self.assert_refused(
            outcome, "has ended without its Python state, perhaps with the GIL held"
        )

    @with_pystack
    def test_an_import(self):
        self.write("slow.py", "import sys, time\nsys.begun.set()\ntime.sleep(3600)\n")
        self.assert_says(
            "import sys, threading; sys.path.insert(0, '')\n"
            "begun = sys.begun = threading.Event()\n"
            "def load():\n    import slow\n"
            "other = threading.Thread(target=load, daemon=True); other.start()\n"
            "begun.wait(); print('ready', flush=True); load()",
            r"main thread waits for another thread's import in load\(\) at <string>:4",
        )

    @with_pystack
    def test_why_it_cannot_name_a_function(self):
        for kind, why in (("names", "lines unknown"), ("stripped", "no symbols")):
            process = self.hang("join", kind)
            first = self.report("--pid", process.pid)[0]
            self.assertRegex(first, rf"waits for the end of a thread in .*hangs\.so.*{why}")
            if GDB:
                core = self.core_of(process)
                self.assertRegex(self.report("--core", core)[0], rf"hangs\.so.*{why}")

    @with_pystack
    def test_a_module_of_boost_python(self):
        if not (Path(MODULES) / "hangs" / "boost").exists():
            self.skipTest("there is no Boost.Python")
        process = self.hang("join", "boost")
        self.assert_names(self.report("--pid", process.pid), "join")

    @with_pystack
    def test_an_interpreter_that_waits_for_a_call(self):
        program = Path(MODULES) / "stopping"
        if not program.exists():
            self.skipTest("there is no handoff::interpreter")
        process = start(program, stdin=subprocess.PIPE)
        self.addCleanup(self.end, process)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        process.stdin.write(b"x")
        self.assertEqual(process.stdout.readline(), b"stops\n")
        wait_until_asleep(process)
        said = (
            r"^gilwatch: nobody holds the GIL; the main thread stops the interpreter, and waits "
            r"for calls in .*leave\(.*; thread (?:'\w+'|\d+) sleeps in <string>:3$"
        )
        self.assertRegex(self.report("--pid", process.pid)[0], said)
        if GDB:
            self.assertRegex(self.report("--core", self.core_of(process))[0], said)

    @with_pystack
    def test_the_host(self):
        process = self.hang("join", python=HOST)
        self.assert_names(self.report("--pid", process.pid), "join")

    @with_pystack
    def test_a_thousand_threads(self):
        process = self.target(
            "import threading\n"
            "threading.stack_size(65536)\n"
            "last = threading.Event()\n"
            "for _ in range(1000): threading.Thread(target=last.wait).start()\n"
            "print('ready', flush=True); input()\n"
            "last.set(); print('end')"
        )
        wait_until_asleep(process)
        report = self.report("--pid", process.pid)
        self.assertRegex(report[0], "^gilwatch: nobody holds the GIL; the main thread waits for")
        self.assertEqual(
            sum(bool(re.match(r"(the main )?thread\b", line)) for line in report), 1001
        )
        process.stdin.write(b"\n")
        self.assert_unharmed(process)

    def assert_core_refused(self, core, said, *options):
        command = (TOOLS, "-m", "gilwatch", "--core", core, *options)
        outcome = finish(start(*command, env=environment(PYTHONPATH=PACKAGES)))
        self.assert_refused(outcome, said)

    @with_pystack
    @with_gdb
    def test_why_a_core_is_refused(self):
        core = self.core_of(self.hang("join"))
        cut = self.write("cut", core.read_bytes()[:1_000_000])
        self.assert_core_refused(cut, "is cut short: it has 1,000,000 bytes of ")
        self.assert_core_refused(core, "no file /none, which --exec", "--executable", "/none")
        said = r"core\.\d+ was left by \S*python\S*, and not by /bin/true, which --executable names"
        self.assert_core_refused(core, said, "--executable", "/bin/true")

    def begin_crash(self, *command):
        """What leaves a core where it is, as the kernel writes it."""
        pattern = Path("/proc/sys/kernel/core_pattern").read_text()
        if pattern.startswith(("|", "/")):
            self.skipTest(f"the kernel writes cores elsewhere: {pattern}")
        return start(
            *command,
            cwd=self.folder,
            env=environment(PYTHONPATH=str(Path(MODULES) / "hangs" / "lines")),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (2**30, 2**30)),
        )

    def core_left(self, process):
        finish(process, aborts=True)
        (core,) = self.folder.glob("core*")
        return core

    def assert_crash(self, code, said, cure=""):
        process = self.begin_crash(STOCK, "-c", f"import hangs\n{code}")
        report = self.report("--core", self.core_left(process))
        self.assertRegex(report[0], rf"^gilwatch: {said}$")
        self.assertRegex(report[1], f"^{cure}")
        self.assertRegex(report[3 if cure else 2], r"^(?:the main )?thread.*, died of SIG\w+")

    FAULT = (
        r"the main thread died of SIGSEGV at address 0x8 in hangs::write_sensor\(\) at "
        r"hangs\.hpp:\d+; it held the GIL"
    )

    @with_pystack
    def test_a_crash(self):
        self.assert_crash("hangs.fault()", self.FAULT)

    @with_pystack
    def test_a_crash_after_faulthandler(self):
        """Which sends the signal once more: the address is not in the core then."""
        code = "import faulthandler; faulthandler.enable(); hangs.fault()"
        self.assert_crash(code, self.FAULT.replace(" at address 0x8", ""))

    @with_pystack
    def test_a_crash_of_a_thread_without_the_gil(self):
        self.assert_crash(
            "hangs.unguarded()",
            r"thread \d+ died of SIGSEGV at address 0x\w+ in PyErr_SetString, called by "
            r"hangs::raise_error\(\) at hangs\.hpp:\d+; it did not hold the GIL, which nobody held",
            cure="  do: acquire the GIL before Python is called .*gilcheck` names each call",
        )

    CALLED = (
        r"hangs::ask_for_state\(\) at hangs\.hpp:\d+; it did not hold the GIL, which nobody held"
    )

    @with_pystack
    def test_a_fatal_error_of_pythons(self):
        self.assert_crash(
            "hangs.fatal()",
            rf"thread \d+ died of SIGABRT in (?:\w+, called by )?{self.CALLED}",
            cure="  do: acquire the GIL before Python is called ",
        )

    def frame(self, function, file, source=""):
        return {"function": function, "file": str(file), "source": source, "offset": 1}

    def explained(self, *frames):
        """Of a thread that died at their innermost; another is where no stack is known."""
        here = {"id": 1, "name": "", "main": True, "holds": False, "frames": [], "python": []}
        died = {**here, "id": 2, "main": False, "frames": list(frames)}
        return report([here, died], {}, Crash(2, "SIGABRT", None, None)).splitlines()

    def test_a_fatal_error_of_a_python_without_symbols(self):
        """None of its functions that runs Python code is on any stack."""
        with Process(self.target(BUSY).pid) as process:
            python = process.python.file
        lines = self.explained(
            self.frame("abort", "/lib/libc.so.6"),
            self.frame("", python),
            self.frame("PyThreadState_Get", python),
            self.frame("hangs::ask_for_state()", "/app/hangs.so", "/app/hangs.hpp:12"),
            self.frame("start_thread", "/lib/libc.so.6"),
        )
        said = f"gilwatch: thread 2 died of SIGABRT in PyThreadState_Get, called by {self.CALLED}"
        self.assertRegex(lines[0], f"^{said}$")
        self.assertRegex(lines[1], "^  do: acquire the GIL before Python is called ")
        self.assertIn("    > #3  hangs::ask_for_state()  at /app/hangs.hpp:12", "\n".join(lines))

    def test_a_crash_with_the_gil_beside_a_native_thread(self):
        """Which may have damaged what the first one reads."""
        read = [
            self.frame("list_dealloc", "/usr/bin/python3"),
            self.frame("main", "/usr/bin/python3"),
        ]
        main = {"id": 1, "name": "", "main": True, "holds": True, "frames": read, "python": []}
        record = [self.frame("record()", "/app/recorder.so", "/app/recorder.cpp:7")]
        other = {**main, "id": 2, "main": False, "holds": False, "frames": record}
        for threads, cure in (
            ([main, other], "  do: another thread may have damaged "),
            ([main], ""),
        ):
            lines = report(threads, {}, Crash(1, "SIGSEGV", None, None)).splitlines()
            self.assertRegex(
                lines[0], "^gilwatch: the main thread died of SIGSEGV .*it held the GIL$"
            )
            self.assertRegex(lines[1], f"^{cure}")
            self.assertEqual("gilcheck" in "".join(lines), bool(cure))

    def test_a_shared_ptr_that_python_passed(self):
        """Of a Python that is not here, and has names."""
        lines = self.explained(
            self.frame("abort", "/lib/libc.so.6"),
            self.frame("PyGILState_Ensure", "/app/python3"),
            self.frame(
                "boost::python::converter::shared_ptr_deleter::operator()(void const*)",
                "/app/libboost_python311.so",
            ),
            self.frame("drain()", "/app/queue.so", "/app/queue.cpp:7"),
        )
        self.assertRegex(lines[0], r"called by drain\(\) at queue\.cpp:7; it did not hold the GIL")
        self.assertRegex(lines[1], r"^  do: .*\.def\(handoff::drop_shared_ptr_anywhere\(\)\)")

    @with_pystack
    def test_an_abort(self):
        self.assert_crash(
            "hangs.abort()",
            r"the main thread died of SIGABRT in abort, called by hangs::give_up\(\) at "
            r"hangs\.hpp:\d+; it held the GIL",
        )

    @with_pystack
    def test_a_core_that_somebody_has_asked_for(self):
        """By a signal: the program hung."""
        code = "import hangs; print('ready', flush=True); hangs.deadlock()"
        process = self.begin_crash(STOCK, "-c", code)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        wait_until_asleep(process)
        process.send_signal(signal.SIGABRT)
        said = DEADLOCK.replace(
            "gilwatch: ", f"gilwatch: it was ended by SIGABRT from process {os.getpid()}; "
        )
        self.assertRegex(self.report("--core", self.core_left(process))[0], said)

    @with_pystack
    def test_the_core_of_a_script_that_names_its_interpreter(self):
        """By its first line: the core names the script."""
        script = self.write("tool", f"#!{STOCK}\nimport hangs\nhangs.fault()\n")
        script.chmod(0o755)
        core = self.core_left(self.begin_crash(script))
        self.assertRegex(self.report("--core", core)[0], self.FAULT)

    @with_pystack
    def test_mutexes_that_are_waited_for(self):
        for name, said in (("deadlock", DEADLOCK), ("relock", RELOCK)):
            process = self.hang(name)
            self.assertRegex(self.report("--pid", process.pid)[0], said)
            if GDB:
                self.assertRegex(self.report("--core", self.core_of(process))[0], said)

    @with_pystack
    def test_what_is_no_core(self):
        self.assert_core_refused(self.write("text", "no core\n"), "text is not a core: `coredump")
        self.assert_core_refused("/bin/true", "is a program or a library, not a core")
        self.assert_core_refused("/none", "/none cannot be read: No such file")

    def test_what_to_install(self):
        process = self.hang("join")
        outcome = self.attach("gilwatch", process, variables={"PYTHONNOUSERSITE": "1"})
        if outcome.code == 0:
            self.skipTest("this Python has pystack")
        self.assert_refused(outcome, r"needs pystack.*: .*`\S+ -m (?:pip|venv) .*install pystack`$")

    @unittest.mock.patch.object(sys, "prefix", sys.base_prefix)
    def test_where_to_install(self):
        """Outside of a virtual environment."""
        said = how_to_install_pystack(self.folder)
        self.assertEqual(said, f"`{sys.executable} -m pip install pystack`")
        self.write("EXTERNALLY-MANAGED", "[externally-managed]\n")
        said = how_to_install_pystack(self.folder)
        self.assertRegex(said, r"in a virtual environment.*`\S+ -m venv watch && watch/bin/pip ")


class Starts(Attached):
    @with_either
    def test_the_checker(self):
        code = f"import sys; sys.path.insert(0, {MODULES!r}); import misuse_c\n{BUSY}"
        process = self.target(
            code.replace("print('end')", "misuse_c.never_acquired([]); print('end')")
        )
        outcome = self.attach("gilcheck", process)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn(f"started in process {process.pid}; what it reports goes to", outcome.stderr)
        process.stdin.close()
        errors = process.stderr.read().decode()
        self.assertRegex(errors, r"^gilcheck: PyList_Size\(\) was called without the GIL")
        self.assertEqual((process.wait(TIMEOUT), process.stdout.read()), (66, b"end\n"))

    @with_either
    def test_the_checker_with_a_log(self):
        """Its path is that of who attaches, whose folder is another."""
        code = f"import sys; sys.path.insert(0, {MODULES!r}); import misuse_c\n{BUSY}"
        code = code.replace("print('end')", "misuse_c.never_acquired([]); print('end')")
        process = self.target(code, cwd="/")
        outcome = self.attach("gilcheck", process, "--log", "log")
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn(f"what it reports goes to {self.folder / 'log'}\n", outcome.stderr)
        process.stdin.close()
        self.assertEqual((process.wait(TIMEOUT), process.stderr.read()), (66, b""))
        self.assertIn("PyList_Size() was called", (self.folder / "log").read_text())

    @with_either
    def test_the_timeline(self):
        process = self.target(BUSY)
        outcome = self.attach("giltrace", process, "--seconds", "0.2", "-o", "trace.json")
        self.assertEqual(outcome.code, 0, outcome)
        events = json.loads((self.folder / "trace.json").read_text())["traceEvents"]
        names = [each["args"]["name"] for each in events if each["name"] == "thread_name"]
        self.assertIn(f"'MainThread' {process.pid}", names)
        self.assertRegex(  # it waits for itself where the system runs others
            outcome.stderr,
            rf"\ngiltrace: (?:nobody|'MainThread' {process.pid}) waited .*\n"
            rf"(?:.*\n)*?GIL of .*, process {process.pid}: ",
        )
        self.assertEqual(self.assert_unharmed(process), "")
        self.assertEqual([each.name for each in self.folder.iterdir()], ["trace.json"])

    @with_either
    def test_the_timeline_until_ctrl_c(self):
        process = self.target(BUSY)
        command = (STOCK, "-m", "giltrace", "--pid", process.pid, "-o", "trace.html")
        attached = start(*map(str, command), cwd=self.folder, env=environment(PYTHONPATH=PACKAGES))
        self.assertIn(b"records process", attached.stderr.readline())
        attached.send_signal(signal.SIGINT)
        self.assertEqual(finish(attached).code, 0)
        self.assertTrue((self.folder / "trace.html").exists())
        self.assert_unharmed(process)

    @with_either
    def test_the_timeline_whose_reader_is_killed(self):
        """The recording ends, and is written, all the same."""
        process = self.target(BUSY)
        command = (STOCK, "-m", "giltrace", "--pid", process.pid, "-o", "trace.html")
        attached = start(*map(str, command), cwd=self.folder, env=environment(PYTHONPATH=PACKAGES))
        self.assertIn(b"records process", attached.stderr.readline())
        attached.kill()
        attached.communicate()
        self.assert_unharmed(process)
        self.assertTrue((self.folder / "trace.html").exists())

    @with_either
    def test_the_timeline_of_what_ends_meanwhile(self):
        process = self.target(BUSY)
        command = (STOCK, "-m", "giltrace", "--pid", process.pid, "-o", "trace.html")
        attached = start(*map(str, command), cwd=self.folder, env=environment(PYTHONPATH=PACKAGES))
        self.assertIn(b"records process", attached.stderr.readline())
        self.assertEqual(self.assert_unharmed(process), "")
        outcome = finish(attached)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertRegex(outcome.stderr, r"^giltrace: .*\nGIL of ")
        self.assertTrue((self.folder / "trace.html").exists())

    @with_either
    def test_the_timeline_of_what_ctrl_c_ends_meanwhile(self):
        process = self.target(BUSY.replace("print('end')", "raise KeyboardInterrupt"))
        command = (STOCK, "-m", "giltrace", "--pid", process.pid, "-o", "trace.html")
        attached = start(*map(str, command), cwd=self.folder, env=environment(PYTHONPATH=PACKAGES))
        self.assertIn(b"records process", attached.stderr.readline())
        process.stdin.close()
        self.assertEqual(process.wait(TIMEOUT), -signal.SIGINT)
        self.assertEqual(process.stderr.read().splitlines()[-1], b"KeyboardInterrupt")
        outcome = finish(attached)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertRegex(outcome.stderr, r"^giltrace: .*\nGIL of ")

    @with_either
    def test_the_timeline_of_what_ends_without_a_word(self):
        """By a signal, by _exit(), as another program: what it has recorded until then is drawn."""
        goes_on = "print('goes on', flush=True); import time; time.sleep(3600)"
        for how in (
            "os.kill(os.getpid(), 9)",
            "os._exit(3)",
            f"os.execv(sys.executable, ['python3', '-c', {goes_on!r}])",
        ):
            with self.subTest(how):
                process = self.target(BUSY.replace("print('end')", f"import os; {how}"))
                command = (STOCK, "-m", "giltrace", "--pid", process.pid, "-o", "trace.json")
                variables = environment(PYTHONPATH=PACKAGES)
                attached = start(*map(str, command), cwd=self.folder, env=variables)
                self.assertIn(b"records process", attached.stderr.readline())
                process.stdin.close()
                outcome = finish(attached)
                self.assertEqual(outcome.code, 0, outcome)
                self.assertRegex(
                    outcome.stderr,
                    r"^giltrace: process \d+ has ended, or become another program, and .*\n"
                    r"giltrace: .*\n(  do: .*\n)?GIL of ",
                )
                self.assertEqual(outcome.stderr.count("GIL of "), 1)
                events = json.loads((self.folder / "trace.json").read_text())["traceEvents"]
                self.assertTrue(events)
                self.assertEqual([each.name for each in self.folder.iterdir()], ["trace.json"])

    @with_either
    def test_the_watchdog(self):
        code = BUSY.replace("print('end')", "ctypes.PyDLL(None).usleep(10**9)")
        process = self.target(code)
        outcome = self.attach("gilwatch", process, "--watch", "--after", "0.2")
        self.assertEqual(outcome.code, 0, outcome)
        process.stdin.close()
        first = process.stderr.readline().decode()
        self.assertRegex(
            first, r"^gilwatch: the main thread holds the GIL and sleeps in <string>:7"
        )

    @with_either
    def test_in_the_host(self):
        process = self.target(BUSY, python=HOST)
        outcome = self.attach("giltrace", process, "--seconds", "0.1", "-o", "trace.json")
        self.assertEqual(outcome.code, 0, outcome)
        self.assert_unharmed(process)

    @with_either
    def test_again_and_again(self):
        process = self.target(BUSY)
        for _ in range(3):
            self.assertEqual(self.attach("gilcheck", process).code, 0)
        self.assert_unharmed(process)

    # What the main thread waits in, without the GIL, until a byte comes; and nobody else runs.
    WAITS = {
        "time.sleep": (
            "import os, signal, threading, time\n"
            "def wake(*_): raise InterruptedError\n"
            "signal.signal(signal.SIGUSR1, wake)\n"
            "def read(): os.read(0, 1); os.kill(os.getpid(), signal.SIGUSR1)\n"
            "threading.Thread(target=read).start()\n",
            "try:\n    time.sleep(3600)\n    print('too early')\nexcept InterruptedError: pass\n",
        ),
        "select": ("import select\n", "assert select.select([0], [], [], 3600)[0]\n"),
        "poll": (
            "import select\nfiles = select.poll(); files.register(0, select.POLLIN)\n",
            "assert files.poll(3_600_000)\n",
        ),
        "read": ("import os\n", "os.read(0, 1)\n"),
        "a lock": (
            "import os, threading\n"
            "ended = threading.Event()\n"
            "threading.Thread(target=lambda: (os.read(0, 1), ended.set())).start()\n",
            "ended.wait()\n",
        ),
        "a thread": (
            "import os, threading\n"
            "other = threading.Thread(target=os.read, args=(0, 1)); other.start()\n",
            "other.join()\n",
        ),
        "a process": (
            "import subprocess\nother = subprocess.Popen(['head', '-c1'], stdout=-1)\n",
            "assert other.wait() == 0\n",
        ),
    }

    @with_gdb
    def test_where_the_main_thread_waits(self):
        for what, (before, wait) in self.WAITS.items():
            with self.subTest(what):
                process = self.target(f"{before}print('ready', flush=True)\n{wait}print('end')")
                wait_until_asleep(process)
                outcome = self.attach("gilcheck", process)
                self.assertEqual(outcome.code, 0, outcome)
                self.assertEqual(self.assert_unharmed(process), "")

    @with_gdb
    def test_again_and_again_where_the_main_thread_waits(self):
        process = self.target("print('ready', flush=True); input(); print('end')")
        wait_until_asleep(process)
        for _ in range(3):
            self.assertEqual(self.attach("gilcheck", process).code, 0)
        outcome = self.attach("giltrace", process, "--seconds", "0.1", "-o", "trace.json")
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual(self.assert_unharmed(process), "")

    @with_gdb
    def test_where_the_main_thread_waits_and_another_computes(self):
        process = self.target(
            "import sys, threading\n"
            "ended = threading.Event()\n"
            "def compute():\n    while not ended.is_set(): sum(range(100))\n"
            "threading.Thread(target=compute).start()\n"
            "print('ready', flush=True); sys.stdin.read(1); ended.set(); print('end')"
        )
        outcome = self.attach("gilcheck", process)
        self.assertEqual(outcome.code, 0, outcome)
        self.assert_unharmed(process)

    @with_gdb
    def test_where_it_hung_once_and_the_main_thread_waits_now(self):
        """A call is queued since then, and comes to nothing."""
        wait = "import os; print('ready', flush=True); os.read(0, 1); print('end')"
        process = self.target(HUNG.replace("print('end')", wait))
        wait_until_asleep(process)
        outcome = self.attach("gilcheck", process, "--within", "0.3")
        self.assert_refused(outcome, "ran no Python code")
        process.stdin.write(b"x")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        wait_until_asleep(process)
        outcome = self.attach("giltrace", process, "--seconds", "0.1", "-o", "trace.json")
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual(self.assert_unharmed(process), "")


class Unharmed(Attached):
    """What could be harmed is refused, or goes on as before."""

    @with_either
    def test_one_that_hangs(self):
        process = self.target(HUNG)
        wait_until_asleep(process)
        threads = sorted(Path(f"/proc/{process.pid}/task").iterdir())
        for tool, *options in (
            ("gilcheck",),
            ("gilwatch", "--watch"),
            ("giltrace", "-o", "t.json"),
        ):
            outcome = self.attach(tool, process, *options, "--within", "0.3")
            said = rf"^{tool}: process \d+ ran no Python code .* says where it hangs or waits"
            self.assert_refused(outcome, said)
            # None that would wait for the GIL as well.
            self.assertEqual(sorted(Path(f"/proc/{process.pid}/task").iterdir()), threads)
        self.assertEqual(self.assert_unharmed(process), "")
        self.assertEqual(list(self.folder.iterdir()), [])

    @unittest.skipIf(shutil.which("gdb") is None, "there is no gdb")
    def test_one_in_which_what_it_is_asked_to_run_raises(self):
        loop = "while not ended.is_set(): sum(range(100))\n"
        for name, refuses in UNWILLING.items():
            code = BUSY.replace(loop, f"{refuses}{loop}").replace(
                "print('end')", "if 'its' in vars(): builtins.__import__ = its\nprint('end')"
            )
            for tool, *options in (("gilcheck",), ("gilwatch", "--watch")):
                with self.subTest(name, tool=tool):
                    process = self.target(code)
                    outcome = self.attach(tool, process, *options, "--within", "1")
                    self.assert_refused(outcome, "was asked to begin, and could not: ")
                    self.assertRegex(self.assert_unharmed(process), OF_A_REFUSAL)

    @unittest.skipIf(shutil.which("gdb") is None, "there is no gdb")
    def test_one_that_is_traced(self):
        """Its trace function is not called for what is not the program's."""
        code = BUSY.replace(
            "while not",
            "def trace(frame, event, argument):\n"
            "    if 'handoff' in frame.f_code.co_filename: print('foreign', flush=True)\n"
            "sys.settrace(trace)\n"
            "while not",
        )
        process = self.target(code)
        outcome = self.attach("gilwatch", process, "--watch")
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual(self.assert_unharmed(process), "")

    @unittest.skipUnless(needs_no_gdb(), "needs sys.remote_exec()")
    def test_one_that_sleeps_while_there_is_no_gdb(self):
        """The request is taken back: what the signal's handler raises later is not lost in it."""
        before, wait = Starts.WAITS["time.sleep"]
        process = self.target(f"{before}print('ready', flush=True)\n{wait}print('end')")
        wait_until_asleep(process)
        variables = {"PATH": str(self.folder)}
        outcome = self.attach("gilcheck", process, "--within", "0.3", variables=variables)
        self.assert_refused(outcome, "ran no Python code .*; if it only waits, .* install gdb")
        self.assertEqual(self.assert_unharmed(process), "")

    @with_either
    def test_one_that_hung_gets_a_tool_later(self):
        process = self.target(HUNG.replace("print('end')", BUSY))
        wait_until_asleep(process)
        outcome = self.attach("gilcheck", process, "--within", "0.3")
        self.assert_refused(outcome, "ran no Python code")
        process.stdin.write(b"x")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        self.assertEqual(self.attach("gilcheck", process).code, 0)
        self.assertEqual(self.assert_unharmed(process), "")

    @with_gdb
    def test_one_that_computes_with_the_gil_while_the_main_thread_waits(self):
        """One thread waits for the GIL, however often somebody attaches, and then does nothing."""
        holders = str(Path(MODULES) / "lock_holders.so")
        process = self.target(
            "import ctypes, threading\n"
            "def compute():\n"
            "    print('ready', flush=True)\n"
            f"    ctypes.PyDLL({holders!r}).compute_until_byte()\n"
            "other = threading.Thread(target=compute); other.start(); other.join(); print('end')"
        )
        for _ in range(3):
            outcome = self.attach("gilcheck", process, "--within", "0.3")
            self.assert_refused(outcome, "ran no Python code")
            names = list(of_each_thread(process, "comm"))
            self.assertEqual(names.count("handoff-attach\n"), 1, names)
        self.assertEqual(self.assert_unharmed(process), "")
        self.assertEqual(list(self.folder.iterdir()), [])

    @with_either
    def test_one_whose_thread_loads_a_library(self):
        """The tool would wait for the loader's lock, with the GIL held."""
        holders = str(Path(MODULES) / "lock_holders.so")
        copied = shutil.copy(holders, self.folder / "other.so")
        # A process's exit itself waits for that lock.
        busy = BUSY.replace("print('end')", "print('end', flush=True); os._exit(0)")
        process = self.target(
            f"import ctypes, os\nholders = ctypes.CDLL({holders!r})\n"
            f"os.environ['SLEEPS_WHEN_LOADED'] = '1'; holders.hold_loader({str(copied)!r}.encode())"
            f"\nos.read(0, 1){busy}",
            says=b"sleeps\n",
        )
        process.stdin.write(b"x")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        outcome = self.attach("gilcheck", process, "--within", "1")
        self.assert_refused(outcome, r"thread \d+ of process \d+ is loading a library")
        self.assert_unharmed(process)

    @with_gdb
    def test_one_whose_thread_is_in_malloc(self):
        holders = str(Path(MODULES) / "lock_holders.so")
        process = self.target(
            f"import ctypes, os\nholders = ctypes.CDLL({holders!r})\nholders.hold_malloc()\n"
            f"os.read(0, 1){BUSY}",
            says=b"sleeps\n",
        )
        process.stdin.write(b"x")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        outcome = self.attach("gilcheck", process, "--within", "1")
        self.assert_refused(outcome, r"thread \d+ of process \d+ is in malloc\(\), with a lock")
        self.assert_unharmed(process)

    @with_either
    def test_one_that_forks_and_starts_programs(self):
        work = (
            "import os, subprocess\n"
            "def start_others():\n"
            "    while not ended.is_set():\n"
            "        child = os.fork()\n"
            "        if child == 0: os._exit(7)\n"
            "        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
            "        assert subprocess.run(['/bin/true']).returncode == 0\n"
        )
        code = BUSY.replace("while not ended.is_set(): sum(range(100))", "start_others()")
        process = self.target(work + code, "-W", "ignore")
        for _ in range(3):
            outcome = self.attach("gilcheck", process, "--within", "30")
            self.assertEqual(outcome.code, 0, outcome)
        self.assert_unharmed(process)

    @with_either
    def test_one_whose_stderr_is_closed(self):
        process = self.target(
            BUSY.replace("print('ready'", "import os; os.close(2)\nprint('ready'")
        )
        outcome = self.attach("gilcheck", process)
        self.assertEqual(outcome.code, 0, outcome)
        self.assertIn("that process has closed its stderr", outcome.stderr)
        self.assert_unharmed(process)

    @with_either
    def test_by_one_whose_stderr_is_closed(self):
        process = self.target(BUSY)
        command = f"exec {STOCK} -m gilcheck --pid {process.pid} 2>&-"
        attached = start("/bin/sh", "-c", command, env=environment(PYTHONPATH=PACKAGES))
        self.assertEqual(finish(attached).code, 0)
        stopped = f"exec {STOCK} -m gilcheck --pid 99999999 2>&-"
        attached = start("/bin/sh", "-c", stopped, env=environment(PYTHONPATH=PACKAGES))
        self.assertEqual(finish(attached).code, 2)
        self.assert_unharmed(process)

    @with_either
    def test_where_the_output_cannot_be_written(self):
        process = self.target(BUSY)
        outcome = self.attach("giltrace", process, "-o", "/none/trace.json")
        self.assert_refused(outcome, r"^giltrace: process \d+: .*/none/trace\.json")
        self.assert_unharmed(process)

    def test_where_the_disk_is_full(self):
        """A file that may not grow, as one on a full disk."""
        process = self.target(BUSY)
        command = ("prlimit", "--fsize=0", STOCK, "-m", "gilcheck", "--pid", str(process.pid))
        if shutil.which(command[0]) is None:
            self.skipTest("needs prlimit")
        outcome = finish(start(*command, env=environment(PYTHONPATH=PACKAGES)))
        self.assert_refused(outcome, "cannot be written below .*; make room there, or set TMPDIR")
        self.assert_unharmed(process)

    @with_gdb
    def test_ctrl_c_while_gdb_is_at_it(self):
        """gdb lets go of the process first."""
        process = self.target(BUSY)
        command = (STOCK, "-m", "gilcheck", "--pid", str(process.pid))
        attached = start(*command, env=environment(PYTHONPATH=PACKAGES))
        status = Path(f"/proc/{process.pid}/status")
        while re.search(r"TracerPid:\s+0", status.read_text()) and attached.poll() is None:
            os.sched_yield()
        attached.send_signal(signal.SIGINT)
        self.assertIn(finish(attached).code, (0, 130))
        self.assert_unharmed(process)

    @with_gdb
    def test_a_kill_while_gdb_is_at_it(self):
        """gdb does to the end what it has begun, and lets go of the process."""
        for code in (BUSY, "print('ready', flush=True); input(); print('end')"):
            process = self.target(code)
            command = (STOCK, "-m", "gilcheck", "--pid", str(process.pid))
            attached = start(*command, env=environment(PYTHONPATH=PACKAGES, TMPDIR=self.folder))
            status = Path(f"/proc/{process.pid}/status")
            while re.search(r"TracerPid:\s+0", status.read_text()):
                self.assertIsNone(attached.poll())
                os.sched_yield()
            attached.kill()
            attached.communicate()
            deadline = time.monotonic() + TIMEOUT
            while not re.search(r"TracerPid:\s+0", status.read_text()):
                self.assertLess(time.monotonic(), deadline, "gdb does not let go")
                os.sched_yield()
            self.assertEqual(self.assert_unharmed(process), "")


# Programs in which whatever another has them run raises at once.
# What CPython itself writes if the script of a sys.remote_exec() fails.
OF_A_REFUSAL = (
    r"^(Error executing|Can't open) debugger script .*\n(.*\n)+$"
    if sys.version_info >= (3, 14)
    else "^$"
)
UNWILLING = {
    "that_is_deep": "sys.setrecursionlimit(70)\n"
    "def run(depth):\n"
    "    if depth: return run(depth - 1)\n"
    "    while not ended.is_set(): pass\n"
    "depth = 80\n"
    "while depth:\n"  # as deep as it can
    "    try: run(depth); break\n"
    "    except RecursionError: depth -= 1\n",
    "whose_audit_refuses": "def refuse(event, arguments):\n"
    "    if event == 'compile': raise RuntimeError('refused')\n"
    "sys.addaudithook(refuse)\n",
    "with_another_import": "import builtins\n"
    "def refuse(*arguments, **keywords): raise ImportError('refused')\n"
    "its, builtins.__import__ = builtins.__import__, refuse\n",
}


class Refuses(Attached):
    """What cannot be attached to, in one sentence that says what to do. gdb is not asked for it."""

    def assert_all_refuse(self, pid, said, **how):
        for tool, *options in (("gilcheck",), ("gilwatch",), ("giltrace", "-o", "t.json")):
            with self.subTest(tool):
                outcome = self.attach(tool, pid, *options, **how)
                self.assert_refused(outcome, rf"^{tool}: .*{said}")

    def test_no_process(self):
        self.assert_all_refuse(99999999, "there is no process 99999999: `pgrep")

    def test_no_number_of_a_process(self):
        self.assert_all_refuse(-1, "a process has a positive number, not -1")

    def test_a_thread(self):
        process = self.target(BUSY)
        threads = Path(f"/proc/{process.pid}/task").iterdir()
        thread = next(each.name for each in threads if each.name != str(process.pid))
        self.assert_all_refuse(thread, f"{thread} is a thread of process {process.pid}: attach to")
        self.assert_unharmed(process)

    def test_no_python(self):
        process = start("/bin/cat", stdin=subprocess.PIPE)
        self.addCleanup(self.end, process)
        said = rf"process {process.pid} \(cat\) does not run Python: none of its files exports"
        self.assert_all_refuse(process.pid, said)

    def test_one_that_has_ended(self):
        process = start("/bin/true")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self.assert_all_refuse(process.pid, "has ended, and waits for its parent to see it")
        process.communicate()

    def test_one_that_is_stopped(self):
        process = self.target(BUSY)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        self.assert_all_refuse(process.pid, rf"is stopped .*`kill -CONT {process.pid}` lets it")
        self.assertRegex(Path(f"/proc/{process.pid}/status").read_text(), r"State:\s+T")
        process.send_signal(signal.SIGCONT)
        self.assert_unharmed(process)

    def test_one_that_is_traced(self):
        process = self.target(BUSY)
        ptrace = ctypes.CDLL(None).ptrace
        self.assertEqual(ptrace(PTRACE_SEIZE, process.pid, None, None), 0)
        said = rf"is traced by process {os.getpid()}, a debugger or strace"
        self.assert_all_refuse(process.pid, said)
        process.send_signal(signal.SIGSTOP)  # who is to be detached has to be stopped
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        self.assertEqual(ptrace(PTRACE_DETACH, process.pid, None, None), 0)
        self.assert_unharmed(process)

    def nobody(self):
        return pwd.getpwnam("nobody").pw_name

    @as_root
    def test_somebody_elses(self):
        process = self.target(BUSY)
        said = rf"belongs to root, and you are {self.nobody()}: run this as root"
        self.assert_all_refuse(process.pid, said, user="nobody", group="nogroup", extra_groups=[])
        self.assert_unharmed(process)

    @as_root
    def test_one_that_forbids_it(self):
        code = f"import ctypes; ctypes.CDLL(None).prctl(4, 0)\n{BUSY}"  # PR_SET_DUMPABLE
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        process = self.target(code, **who)
        said = r"may not trace process \d+: .*PR_SET_DUMPABLE.*CAP_SYS_PTRACE"
        self.assert_all_refuse(process.pid, said, **who)
        process.stdin.write(b"x")
        self.assertEqual(process.communicate(timeout=TIMEOUT)[0], b"end\n")

    @as_root
    def test_one_in_another_mount_namespace(self):
        alone = ("unshare", "--mount", STOCK)
        process = start(*alone, "-c", BUSY, stdin=subprocess.PIPE)
        self.addCleanup(self.end, process)
        if process.stdout.readline() != b"ready\n":
            self.skipTest("this root may not unshare")
        said = r"runs in a container \(its mnt namespace is another\): install the tools in the"
        self.assert_all_refuse(process.pid, said)
        self.assert_unharmed(process)

    @as_root
    def test_one_with_another_root_folder(self):
        process = self.target(f"import ctypes, os, threading; os.chroot('/usr')\n{BUSY}")
        self.assert_all_refuse(process.pid, "has another root folder, /usr: run this inside it")
        self.assert_unharmed(process)

    def test_one_of_32_bits(self):
        program = self.folder / "program"
        source = self.write("program.c", 'void _start(void) { for (;;) __asm__("pause"); }')
        made = ("cc", "-m32", "-static", "-nostdlib", "-fno-pic", "-no-pie", source, "-o", program)
        if subprocess.run([*map(str, made)], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("no program of 32 bits can be made")
        try:
            process = start(program)
        except OSError:
            self.skipTest("no program of 32 bits can be run")
        self.addCleanup(self.end, process)
        self.assert_all_refuse(process.pid, r"\(program\) is a program of 32 bits")

    def test_one_that_forbids_remote_debugging(self):
        process = self.target(BUSY, env=environment(PYTHON_DISABLE_REMOTE_DEBUG="1"))
        outcome = self.attach("gilcheck", process)
        self.assert_refused(outcome, r"forbids it \(PYTHON_DISABLE_REMOTE_DEBUG")
        self.assert_unharmed(process)

    @unittest.skipIf(needs_no_gdb(), "this Python needs no gdb")
    def test_where_there_is_no_gdb(self):
        process = self.target(BUSY)
        outcome = self.attach("gilcheck", process, variables={"PATH": str(self.folder)})
        self.assert_refused(outcome, r"needs gdb, which is not installed \(`apt-get install gdb`\)")
        self.assert_unharmed(process)

    def test_itself(self):
        code = (
            "import os, runpy, sys; sys.argv = ['gilcheck', '--pid', str(os.getpid())]; "
            "runpy.run_module('gilcheck', run_name='__main__')"
        )
        outcome = finish(start(STOCK, "-c", code, env=environment(PYTHONPATH=PACKAGES)))
        self.assert_refused(
            outcome, r"is the one that attaches: in a script, call the tool's start"
        )

    @with_gdb
    def test_one_that_becomes_another_program_meanwhile(self):
        """What is known of its memory is false then; the new program comes to no harm."""
        code = (
            "import os, sys; print('ready', flush=True); input()\n"
            f"os.execv({STOCK!r}, [{STOCK!r}, '-c', {BUSY!r}])"
        )
        process = self.target(code)
        with Process(process.pid) as known:
            _ = known.mapped
            process.stdin.write(b"\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"ready\n")
            with self.assertRaisesRegex(RefusedError, "started another program"):
                queue_call(known, self.folder / "script.py", time.monotonic() + TIMEOUT)
        self.assert_unharmed(process)

    @with_gdb
    def test_one_that_has_not_started_python(self):
        """The call would be one of an interpreter that is not there."""
        source = self.write(
            "program.c",
            "#include <stdio.h>\n#include <unistd.h>\n"
            "const unsigned long Py_Version = 0x030b00f0;\n"
            "int PyRun_SimpleString(const char* code) { return code == 0; }\n"
            "int Py_AddPendingCall(int (*call)(void*), void* what) { (void)call; (void)what; "
            "return *(volatile int*)0; }\n"
            "int Py_IsInitialized(void) { return 0; }\n"
            'int main(void) { char byte; puts("ready"); fflush(stdout); '
            'if (read(0, &byte, 1) == 1) puts("end"); return 0; }\n',
        )
        program = self.folder / "program"
        made = subprocess.run(["cc", "-rdynamic", source, "-o", program], check=False)
        if made.returncode:
            self.skipTest("there is no C compiler")
        process = start(program, stdin=subprocess.PIPE)
        self.addCleanup(self.end, process)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        outcome = self.attach("gilcheck", process)
        self.assert_refused(outcome, "has loaded Python, and has not started it, or has ended it")
        self.assert_unharmed(process)

    @with_either
    def test_one_that_has_a_module_of_that_name(self):
        for own in ("types.ModuleType('gilwatch')", "None"):
            with self.subTest(own):
                code = f"import sys, types; sys.modules['gilwatch'] = {own}\n{BUSY}"
                process = self.target(code)
                outcome = self.attach("gilwatch", process, "--watch")
                self.assert_refused(outcome, "has a module of its own .* called gilwatch")
                self.assertEqual(self.assert_unharmed(process), "")

    @with_either
    def test_two_at_once(self):
        process = self.target(BUSY)
        command = (STOCK, "-m", "giltrace", "--pid", process.pid, "-o", "trace.html")
        attached = start(*map(str, command), cwd=self.folder, env=environment(PYTHONPATH=PACKAGES))
        self.assertIn(b"records process", attached.stderr.readline())
        outcome = self.attach("gilcheck", process)
        self.assert_refused(outcome, r"somebody else is attaching to process \d+, or records it")
        attached.send_signal(signal.SIGINT)
        self.assertEqual(finish(attached).code, 0)
        self.assert_unharmed(process)

    @with_either
    def test_one_with_another_copy_of_the_tool(self):
        copied = shutil.copy(Path(PACKAGES) / "gilcheck" / "libgilcheck.so", self.folder)
        process = self.target(BUSY, env=environment(LD_PRELOAD=str(copied)))
        outcome = self.attach("gilcheck", process)
        self.assert_refused(outcome, rf"has loaded another copy of gilcheck, {copied}: use that")
        self.assert_unharmed(process)

    def test_a_program_beside_it(self):
        outcome = self.attach("gilcheck", os.getppid(), "script.py")
        self.assertEqual(outcome.code, 2)
        self.assertIn("either --pid, or a program to run", outcome.stderr)

    def test_what_is_no_number_of_seconds(self):
        for bad in ("0", "-1", "nan", "inf", "soon"):
            outcome = self.attach("gilcheck", os.getpid(), f"--within={bad}")
            self.assertEqual(outcome.code, 2)
            self.assertIn(f"{bad!r} is not a positive number of seconds", outcome.stderr)


class PtraceScope(InFolder):
    def test_says_what_allows_it(self):
        """Not to root that it should be root, who may not in a container."""
        rights = "run this with CAP_SYS_PTRACE" if IS_ROOT else r"run this as root \(`sudo`\)"
        for scope, said in {
            "0": rf": {rights}",
            "1": rf"ptrace_scope is 1, .*: {rights}.*, or `echo 0",
            "2": rf"ptrace_scope is 2, by which only root may: {rights}",
            "3": "ptrace_scope is 3, by which nobody may until the next boot",
        }.items():
            with self.subTest(scope):
                file = self.write("ptrace_scope", f"{scope}\n")
                self.assertRegex(what_allows_ptrace(file), said)
        self.assertRegex(what_allows_ptrace(self.folder / "none"), "CAP_SYS_PTRACE")


if __name__ == "__main__":
    unittest.main()
