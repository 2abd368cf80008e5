"""gilwatch without a GIL: the first line names who keeps the world from being stopped."""

import unittest

from host import STOCK
from test_gilwatch import HANGS, Watched

# A thread that stops the world again and again, until it cannot any more.
COLLECTING = """
import gc, threading
def collect():
    while True:
        gc.collect()
threading.Thread(target=collect, daemon=True, name="collector").start()
"""


class FirstLine(Watched):
    """Who is attached, what it does, in which of the user's lines; who waits for it, and where."""

    def reports(self, name):
        return self.watched(COLLECTING + self.hang(name).replace("; ", "\n"))

    def assert_names(self, name):
        does, where = HANGS[name]
        for way, report in self.reports(name):
            with self.subTest(way):
                self.assertRegex(
                    report[0],
                    rf"^gilwatch: the main thread is attached and {does} in .*(?:{where}).*"
                    r" at hangs\.hpp:\d+; (?:1 thread waits|2 threads wait) until it detaches, "
                    r"\S+ s: .*stops the others in collect\(\) at <string>:5",
                )
                self.assertRegex(report[1], "^  do: release the GIL .*handoff::gil_release")
                text = "\n".join(report)
                self.assertRegex(text, r"the main thread, tid \d+, is attached\n")
                self.assertRegex(text, r"has waited until the others detach for \S+ s\n")

    def test_of_a_condition_variable(self):
        self.assert_names("condition")

    def test_of_native_work(self):
        self.assert_names("works")

    def test_of_a_pipe(self):
        self.assert_names("read")

    def test_of_a_sleep_that_a_signal_would_end(self):
        for way, report in self.reports("sleep"):
            with self.subTest(way):
                self.assertRegex(
                    report[0],
                    r"^gilwatch: the main thread is attached and sleeps in .*sleep_long\(\)",
                )
                self.assertRegex("\n".join(report), r'File "<string>", line \d+ in <module>')

    def test_of_a_long_collection(self):
        """It has stopped the others itself, and cannot detach."""
        code = (
            "import gc, threading\n"
            "gc.disable(); kept = [[] for _ in range(8_000_000)]\n"
            "def wants():\n"
            "    while True: open('/dev/null').close()\n"
            "threading.Thread(target=wants, daemon=True).start()\n"
            "while True: gc.collect()"
        )
        module = ("-m", "gilwatch", "--after", "0.1", "-c", code)
        report = self.first_report(STOCK, *module)
        self.assertRegex(
            report[0], "^gilwatch: the main thread is attached and collects garbage in"
        )
        self.assertRegex(report[1], r"^  do: .*gc\.freeze\(\)")
        self.assertNotIn("gil_release", report[1])  # it could not: CPython collects


class Silent(Watched):
    """No thread waits long: the world is stopped, and goes on."""

    def test_beside_collections_and_threads_that_come_and_go(self):
        code = COLLECTING + (
            "for _ in range(200):\n"
            "    each = threading.Thread(target=sum, args=(range(2000),))\n"
            "    each.start()\n"
            "    each.join()\n"
            "print('end')"
        )
        self.assert_silent(code, after="10")


class OnDemand(Watched):
    def test_says_that_nobody_waits(self):
        code = "import gilwatch; gilwatch.start(10); gilwatch.report()"
        report = self.first_report(STOCK, "-c", code)
        self.assertRegex(
            report[0],
            r"^gilwatch: no thread waits for another one to detach; the main thread asks for this "
            r"report in ",
        )


if __name__ == "__main__":
    unittest.main()
