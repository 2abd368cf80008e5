"""A virtual environment of the stock Python, with packages of PyPI, that is kept between runs."""

import subprocess
import sys
from pathlib import Path

from host import HOST, STOCK
from virtual_environment import pinned


class Environment:
    """A virtual environment of the stock Python, with the host beside its python."""

    def __init__(self, folder, group):
        """group: of pyproject.toml's dependency groups, that which pins the versions."""
        self.programs = folder / "environment" / "bin"
        self.python = self.programs / "python"
        if self.python.resolve() != Path(STOCK).resolve():  # another than last time
            subprocess.run([STOCK, "-m", "venv", "--clear", self.programs.parent], check=True)
        host = self.programs / "handoff"
        host.unlink(missing_ok=True)
        host.symlink_to(HOST)
        self.versions = folder / "versions.txt"
        self.versions.write_text("\n".join(pinned(group)))

    def install(self, *packages):
        """Whether they are there now; what pip says otherwise goes to stderr."""
        pip = [self.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        only = ["--only-binary", ":all:", "--constraint", self.versions]
        ended = subprocess.run([*pip, *only, *packages], stderr=subprocess.PIPE, check=False)
        if ended.returncode:
            print(*packages, ended.stderr.decode(errors="replace"), file=sys.stderr)
        return ended.returncode == 0

    def version(self, package):
        code = f"import importlib.metadata as m; print(m.version({package!r}), end='')"
        asked = subprocess.run([self.python, "-c", code], stdout=subprocess.PIPE, check=True)
        return asked.stdout.decode()
