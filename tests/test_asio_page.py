"""docs/asio.md: its examples are those of docs/asio, which do what the page says."""

import os
import re
import unittest
from pathlib import Path

from host import HOST, environment, finish, start

PAGE = Path(__file__).resolve().parent.parent / "docs/asio.md"
FOLDER = PAGE.with_suffix("")
INTERPRETERS = {"any Python": os.environ["ASIO_PYTHON"], "host": HOST}


class Examples(unittest.TestCase):
    def test_each_block_of_the_page_is_compiled_or_run(self):
        for language, file in (("cpp", "network.cpp"), ("python", "use.py")):
            tested = (FOLDER / file).read_text()
            blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.M | re.S)
            self.assertTrue(blocks)
            for block in blocks:
                with self.subTest(file=file, block=block):
                    self.assertIn(block, tested)

    def test_do_what_they_say(self):
        for interpreter, path in INTERPRETERS.items():
            with self.subTest(interpreter):
                variables = environment(PYTHONPATH=os.environ["ASIO_FOLDER"])
                outcome = finish(start(path, FOLDER / "use.py", env=variables))
                self.assertEqual((outcome.code, outcome.stderr), (0, ""))
                slept, ended, dropped = outcome.stdout.splitlines()
                self.assertEqual((slept, ended), ("slept", "None"))
                self.assertIn("has not completed, and never will: its io_context", dropped)


if __name__ == "__main__":
    unittest.main()
