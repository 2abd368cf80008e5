"""docs/await.md: its examples are those of docs/await, which do what the page says."""

import os
import re
import unittest
from pathlib import Path

from host import HOST, environment, finish, start

PAGE = Path(__file__).resolve().parent.parent / "docs/await.md"
FOLDER = PAGE.with_suffix("")
INTERPRETERS = {"any Python": os.environ["AWAIT_PYTHON"], "host": HOST}


def lines(text):
    """Without indentation: the page leaves out what is around."""
    return [line.strip() for line in text.splitlines() if line.strip()]


class Examples(unittest.TestCase):
    def test_each_line_of_the_page_is_compiled_or_run(self):
        for language, file in (("cpp", "robot_arm.cpp"), ("python", "move.py")):
            tested = lines((FOLDER / file).read_text())
            blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.M | re.S)
            self.assertTrue(blocks)
            for line in lines("".join(blocks)):
                with self.subTest(file=file, line=line):
                    self.assertIn(line, tested)

    def test_do_what_they_say(self):
        said = [
            "90.0",
            "21.5",
            "42",
            "moved",
            "1",
            "the arm turns from -180 to 180 degrees",
            "-45.0",
        ]
        for interpreter, path in INTERPRETERS.items():
            with self.subTest(interpreter):
                variables = environment(PYTHONPATH=os.environ["AWAIT_FOLDER"])
                code, output, errors = finish(start(path, FOLDER / "move.py", env=variables))
                self.assertEqual((code, errors), (0, ""))
                # The task group's two come in any order.
                self.assertEqual(sorted(output.split("\n")[1:3]), sorted(said[1:3]))
                self.assertEqual(output.splitlines()[3:], said[3:])
                self.assertEqual(output.splitlines()[0], said[0])


if __name__ == "__main__":
    unittest.main()
