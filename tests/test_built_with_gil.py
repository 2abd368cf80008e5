"""A module that was built for a Python with a GIL refuses a free-threaded one, and no other."""

import os
import sys
import sysconfig
import unittest

sys.path.insert(0, os.environ["MODULES_FOLDER"])


class Import(unittest.TestCase):
    def test_says_what_to_build(self):
        said = (RuntimeError, "it is not refused")
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            said = (ImportError, "was built for a Python with a GIL, .*: build the module for this")
        with self.assertRaisesRegex(*said):
            import built_with_gil  # noqa: F401


if __name__ == "__main__":
    unittest.main()
