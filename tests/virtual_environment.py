"""A virtual environment whose Python is the host, with what pip installs into it."""

import os
import subprocess
import unittest
from pathlib import Path

from host import HOST, InFolder, environment

PINNED = Path(__file__).resolve().parent.parent / "requirements-host.txt"
PATIENCE = 110  # seconds: pip asks the network


@unittest.skipUnless(os.environ.get("HANDOFF_TOOLS"), "`make test-all` asks PyPI for packages")
class InAVirtualEnvironment(InFolder):
    def succeed(self, *command, **variables):
        outcome = subprocess.run(
            command,
            cwd=self.folder,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        return outcome.stdout

    def python_with(self, *packages):
        self.succeed(HOST, "-m", "venv", "env")
        python = self.folder / "env/bin/python"
        self.succeed(python, "-m", "pip", "install", "-q", "-c", PINNED, *packages)
        return python
