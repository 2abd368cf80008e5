"""The guides: their examples are compiled and run, and do what they say."""

import os
import re
import shutil
import unittest
from pathlib import Path

from host import HOST, STOCK, InFolder, environment, finish, start

DOCS = Path(__file__).resolve().parent.parent / "docs"
INTERPRETERS = {"any Python": os.environ["THREADS_PYTHON"], "host": HOST}
# A page's blocks of code, and the files that are compiled, or run.
HOST_PROGRAM = "../tests/package/main.cpp"
CODE = (
    ("embed.md", "cpp", HOST_PROGRAM, "embed/application.cpp", "embed/window.cpp"),
    ("embed.md", "python", "embed/parallel.py"),
    ("threads.md", "cpp", "threads/feed.cpp"),
    ("threads.md", "python", "threads/use.py"),
)
# Pages, one of whose blocks is a part of a file that another test runs.
PARTS = (
    ("logging.md", "cpp", "logging/reader.cpp"),
    ("logging.md", "python", "logging/read.py"),
    ("channel.md", "python", "../scripts/await_samples.py"),
)


def blocks_of(page, language):
    """What a page shows in that language."""
    pattern = rf"^```{language}\n(.*?)^```"
    return re.findall(pattern, (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def lines(text):
    """Without indentation: the page leaves out what is around."""
    return [line.strip() for line in text.splitlines() if line.strip()]


class Guides(unittest.TestCase):
    def test_show_what_is_compiled_or_run(self):
        for page, language, *files in CODE:
            tested = lines("".join((DOCS / file).read_text() for file in files))
            blocks = blocks_of(page, language)
            self.assertTrue(blocks)
            for line in lines("".join(blocks)):
                with self.subTest(page=page, line=line):
                    self.assertIn(line, tested)

    def test_show_a_part_of_a_file_that_runs(self):
        """Literally, so that it is also seen where nobody renders the page."""
        for page, language, file in PARTS:
            with self.subTest(page=page, file=file):
                text = (DOCS / file).read_text()
                self.assertTrue(any(block in text for block in blocks_of(page, language)))

    def test_call_a_python_function_from_a_native_thread(self):
        for interpreter, path in INTERPRETERS.items():
            with self.subTest(interpreter):
                variables = environment(PYTHONPATH=os.environ["THREADS_FOLDER"])
                outcome = finish(start(path, DOCS / "threads/use.py", env=variables))
                self.assertEqual(outcome, (0, "[100.0, 101.0, 102.0]\n", ""))

    def test_whose_callback_stops_or_drops_the_object_of_its_thread(self):
        """A thread that joined itself would end the process."""
        for ends in "made[0].stop(); made[0].stop()", "made.clear()":
            code = (
                "import feed, threading\n"
                "made, ready, ended = [], threading.Event(), threading.Event()\n"
                "def on_price(price):\n"
                f"    ready.wait(); {ends}; ended.set()\n"
                "made.append(feed.Feed(on_price))\n"
                "ready.set(); ended.wait(); made.clear(); print('ended')\n"
            )
            for interpreter, path in INTERPRETERS.items():
                with self.subTest(interpreter, ends=ends):
                    variables = environment(PYTHONPATH=os.environ["THREADS_FOLDER"])
                    outcome = finish(start(path, "-c", code, env=variables))
                    self.assertEqual(outcome, (0, "ended\n", ""))

    def test_ends_in_a_child_of_fork_where_its_thread_is_not(self):
        """Also when a thread of the child has the handle that the parent's thread had."""
        for ends in ("inherited.stop()", "inherited.stop(); del inherited", "del inherited"):
            for steps in ((ends, "new = first_price()"), ("new = first_price()", ends)):
                code = (
                    "import feed, os, threading\n"
                    "def first_price():\n"
                    "    called = threading.Event()\n"
                    "    made = feed.Feed(lambda price: called.set())\n"
                    "    called.wait()\n"
                    "    return made\n"
                    "inherited = first_price()\n"
                    "if (child := os.fork()) == 0:\n"
                    f"    {steps[0]}\n"
                    f"    {steps[1]}\n"
                    "    new.stop()\n"
                    "    os._exit(7)\n"
                    "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])); inherited.stop()"
                )
                for interpreter, path in INTERPRETERS.items():
                    with self.subTest(interpreter, steps=steps):
                        variables = environment(PYTHONPATH=os.environ["THREADS_FOLDER"])
                        outcome = finish(start(path, "-W", "ignore", "-c", code, env=variables))
                        self.assertEqual(outcome, (0, "7\n", ""))

    def test_refuses_none_in_place_of_a_function(self):
        code = "import feed\ntry: feed.Feed(None)\nexcept ValueError as error: print(error)"
        for interpreter, path in INTERPRETERS.items():
            with self.subTest(interpreter):
                variables = environment(PYTHONPATH=os.environ["THREADS_FOLDER"])
                outcome = finish(start(path, "-c", code, env=variables))
                self.assertEqual(outcome, (0, "on_price must be a function, not None\n", ""))


class Application(InFolder):
    SAID = (
        "ValueError: a width is positive, not -1.0",
        "[0, 1, 4, 9]",
        "area 6",
        "total 16",
        "total 6",
    )

    def assert_says(self, prepared, *arguments):
        """In any order: C++ and Python have a buffer each."""
        command = (os.environ["EMBED_APPLICATION"], DOCS / "embed", *arguments)
        outcome = finish(start(*command, env=environment()))
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        self.assertEqual(sorted(outcome.stdout.splitlines()), sorted((*self.SAID, prepared)))

    def test_embeds_python(self):
        self.assert_says("prepared, with no environment")

    def test_has_a_virtual_environments_packages(self):
        folder = self.folder / "env"
        self.succeed(STOCK, "-m", "venv", "--without-pip", folder)
        self.assert_says("prepared, with an environment", folder)

    def test_goes_on_when_a_function_raises_that_its_threads_call(self):
        folder = Path(shutil.copytree(DOCS / "embed", self.folder / "embed"))
        geometry = (folder / "geometry.py").read_text()
        raises = (
            "    if side in (2, 10):\n        raise ValueError(f'not {side}')\n    global _total\n"
        )
        self.assertIn("    global _total\n", geometry)
        (folder / "geometry.py").write_text(geometry.replace("    global _total\n", raises))
        outcome = finish(start(os.environ["EMBED_APPLICATION"], folder, env=environment()))
        self.assertEqual(outcome.code, 0, outcome)
        self.assertEqual(
            re.findall(r"^ValueError: not \d+$", outcome.stderr, re.M),
            ["ValueError: not 2", "ValueError: not 10"],
        )
        self.assertEqual(outcome.stdout.count("total 4\n"), 2)

    def test_receives_what_python_prints(self):
        outcome = finish(start(os.environ["EMBED_WINDOW"], env=environment()))
        self.assertEqual(outcome, (0, "printed\nan error\n", ""))


if __name__ == "__main__":
    unittest.main()
