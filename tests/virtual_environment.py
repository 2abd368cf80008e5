"""A virtual environment whose Python is the host, with what pip installs into it."""

import os
import unittest
from pathlib import Path

from host import HOST, InFolder

PINNED = Path(__file__).resolve().parent.parent / "requirements-host.txt"


@unittest.skipUnless(os.environ.get("HANDOFF_TOOLS"), "`make test-all` asks PyPI for packages")
class InAVirtualEnvironment(InFolder):
    patience = 110  # pip asks the network

    def python_with(self, *packages):
        self.succeed(HOST, "-m", "venv", "env")
        python = self.folder / "env/bin/python"
        self.succeed(python, "-m", "pip", "install", "-q", "-c", PINNED, *packages)
        return python
