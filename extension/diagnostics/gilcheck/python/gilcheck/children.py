"""The variables by which programs that this process starts are checked as well."""

from __future__ import annotations

import os
import re

from . import LIBRARY

NAMES = ("LD_PRELOAD", "GILCHECK")


def check(settings: str) -> dict[str, str | None]:
    """Have programs checked that are started from now on. Returns the variables' former values.

    Not those that get another environment.
    """
    former = {name: os.environ.get(name) for name in NAMES}
    others = [
        each
        for each in re.split("[ :]", former["LD_PRELOAD"] or "")
        if each not in ("", str(LIBRARY))
    ]
    os.environ["LD_PRELOAD"] = ":".join([str(LIBRARY), *others])
    os.environ["GILCHECK"] = settings
    return former


def restore(former: dict[str, str | None]) -> None:
    """Sets the variables to what check() returned."""
    for name, value in former.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
