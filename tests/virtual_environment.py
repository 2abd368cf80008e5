"""A virtual environment whose Python is the host, with what pip installs into it."""

import os
import tomllib
import unittest
from pathlib import Path

from host import HOST, InFolder

PROJECT = Path(__file__).resolve().parent.parent


def pinned(group):
    """The versions that a dependency group of pyproject.toml names, and those it includes."""
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]
    for each in groups[group]:
        if isinstance(each, str):
            yield each
        else:
            yield from pinned(each["include-group"])


@unittest.skipUnless(os.environ.get("HANDOFF_TOOLS"), "`make test-all` asks PyPI for packages")
class InAVirtualEnvironment(InFolder):
    patience = 110  # pip asks the network

    def python_with(self, *packages):
        self.succeed(HOST, "-m", "venv", "env")
        python = self.folder / "env/bin/python"
        # As constraints, because the pip of a new environment may not know dependency groups yet.
        constraints = self.write("constraints.txt", "\n".join(pinned("host")))
        self.succeed(python, "-m", "pip", "install", "-q", "-c", constraints, *packages)
        return python
