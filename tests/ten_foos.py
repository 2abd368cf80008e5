"""Ten Foos run beside a script, and what they delivered is held against the clock."""

import json
import textwrap

from host import HOST, STOCK, InFolder, LossError, environment, finish, start

# Stands in for Foo in the stock interpreter, so that the program is the same to the letter.
NO_FOO = """
class Foo:
    def __init__(self, interval, on_message): self.messages = []
    def start(self): pass
    def stop(self): pass
    def wait(self, count, timeout=0): __import__("time").sleep(timeout)
"""

TEN_FOOS = """
import atexit, json, os, sys, time

threads_at_first = len(os.listdir("/proc/self/task"))  # qemu has one of its own
end, report_to, rows, last_words = None, "report.json", [], []

# Registered before Foo is imported, it runs after Foo's own hook: what it sees is final.
@atexit.register
def report():
    now = time.monotonic_ns()
    with open(report_to, "w") as file:
        file.write(json.dumps((end, now, rows)))
    for say in last_words:
        say()

import Foo

def run(f, called=None):
    '''Starts a Foo of 1 ms, and notes when.'''
    had, before = len(f.messages), time.monotonic_ns()
    f.start()
    rows.append((f.messages, called, had, before, time.monotonic_ns()))

def make(n):
    called = None if n % 2 else []
    f = Foo.Foo(0.001, called if called is None else called.append)
    run(f, called)
    return f

foos = [make(n) for n in range(10)]
f = foos[9]
f.wait(5)
"""

LEAVE = """
try:
{}
finally:
    end = time.monotonic_ns()
"""


def joined(*parts):
    """One script of several, each of which may be indented as a whole."""
    return "".join(textwrap.dedent(part) for part in parts)


class BesideTenFoos(InFolder):
    """Scripts that find `f`, `foos` and `run` there; what they append to last_words is called last.

    `leaves` also wants the stock interpreter, which has no Foo, to end in the same way.
    """

    def setUp(self):
        super().setUp()
        self.write("Foo.py", NO_FOO)

    def check_report(self, name="report.json", runs=10):
        """Every message due before the end of the script came, and none before it was due."""
        report = self.folder / name
        if not report.exists():
            raise LossError(f"{name} was not written")
        end, now, rows = json.loads(report.read_text())
        report.unlink()
        if len(rows) != runs:
            raise LossError(f"{len(rows)} runs are reported, not {runs}")
        for messages, called, had, before, after in rows:
            least = had + (end - after) // 1_000_000 + 1
            most = had + (now - before) // 1_000_000 + 1
            if not least <= len(messages) <= most:
                raise LossError(f"{len(messages)} messages came, not {least} to {most}")
            if messages != list(range(len(messages))):
                raise LossError(f"the messages are not the integers in order: {messages}")
            if called not in (None, messages):
                raise LossError(f"on_message was called with {called}, not {messages}")

    def leave(self, program, *options, act=None, stdin=None, aborts=False):
        """Runs script.py; `act` is done to the process when it has printed a line."""
        for left in self.folder.glob("*.json"):  # by a failure, where failures are counted
            left.unlink()
        pipe = {} if stdin is None else {"stdin": -1}
        variables = environment(PYTHONPATH=str(self.folder))
        command = (program, *options, "script.py")
        process = start(*command, cwd=self.folder, env=variables, **pipe)
        if act:
            process.stdout.readline()
            act(process)
        return finish(process, stdin, aborts)

    def write_script(self, script, to="script.py"):
        indented = textwrap.indent(textwrap.dedent(script), "    ")
        self.write(to, TEN_FOOS + LEAVE.replace("{}", indented))

    def leaves(self, script, code, *options, reports=True, whole=True, **how):
        """The host leaves again and again as the stock interpreter does, and loses nothing."""
        self.write_script(script)

        def outcome(program):
            ended = self.leave(program, *options, **how)
            return ended if whole else ended._replace(stderr=ended.stderr.splitlines()[-1:])

        stock = outcome(STOCK)
        self.assertEqual(stock.code, code)
        report = self.folder / "report.json"
        self.assertEqual(report.exists(), reports)
        report.unlink(missing_ok=True)

        def once():
            self.assertEqual(outcome(HOST), stock)
            if reports:
                self.check_report()

        self.again(once)

    def ends(self, script, stdout="", code=0, runs=10):
        """The host leaves again and again, with that output and no error, and loses nothing."""
        self.write_script(script)

        def once():
            self.assertEqual(self.leave(HOST), (code, stdout, ""))
            self.check_report(runs=runs)

        self.again(once)
