"""docs/fast_calls.md: its examples are in docs/fast_calls/camera.cpp, and do what the page says."""

import os
import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, os.environ["CAMERA_FOLDER"])

import camera

PAGE = Path(__file__).resolve().parent.parent / "docs/fast_calls.md"
SOURCE = PAGE.with_suffix("") / "camera.cpp"


class Examples(unittest.TestCase):
    def test_each_block_of_the_page_is_compiled(self):
        blocks = re.findall(r"^```cpp\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        self.assertEqual(len(blocks), 2)
        for block in blocks:
            with self.subTest(block=block):
                for part in block.split("\n\n"):
                    self.assertIn(part, SOURCE.read_text())

    def test_do_what_they_say(self):
        one, other = camera.Camera(), camera.Webcam()
        one.seek(5)
        one.seek(frame=2, **{"from": 3})
        one.grab()
        one.lens().focus = 50
        one.exposure = 0.5
        self.assertEqual(
            (one.frame(), one.lens().focus, len(one), one.exposure), (6, 50, 1000, 0.5)
        )
        self.assertEqual((other.shown_frame(), other.name), (0, "webcam"))
        self.assertEqual((camera.scale(2, 3), camera.length("ab")), (6.0, 2))
        for fast in (camera.Camera.frame, camera.Webcam.shown_frame, camera.Webcam.name.fget):
            self.assertIs(type(fast), type(camera.scale))


if __name__ == "__main__":
    unittest.main()
