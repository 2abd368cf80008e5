"""Records a process that already runs: python3 -m giltrace --pid PID -o trace.html."""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import re
import select
from pathlib import Path

from handoff_attach.command_line import say
from handoff_attach.injection import started
from handoff_attach.process import Process, RefusedError

_LONGEST = 2**31 - 1  # milliseconds, as poll() takes them: 24 days
_BEGINNING = 2**20  # characters, which have a summary of some thousand threads
_WRITING = 600.0  # seconds that the process has to write its recording


def record(asked: argparse.Namespace) -> None:
    """Until so many seconds have passed, Ctrl-C, or the end of that process.

    That process writes the file, with its own rights, and says nothing of it; the summary is read
    from there. Raises RefusedError.
    """
    output = Path.cwd() / asked.output
    with (
        Process(asked.pid) as process,
        started(
            process,
            "giltrace",
            str(output),
            within=asked.within,
            until_ended=True,
            needs=["gilcheck"],
            stack_after=asked.stack_after,
            last=asked.last,
            when_wait_exceeds=asked.when_wait_exceeds,
            signal=asked.signal,
            summary=False,
        ) as recording,
    ):
        end = f"for {asked.seconds:g} s" if asked.seconds else "until Ctrl-C"
        ended = select.poll()
        ended.register(process.descriptor, select.POLLIN)
        with contextlib.suppress(KeyboardInterrupt):  # which may come as soon as it is told
            say(f"giltrace: records process {asked.pid} {end}")
            ended.poll(min(asked.seconds * 1000, _LONGEST) if asked.seconds else None)
        recording.end()
        try:
            written = recording.expect("stopped", _WRITING)
        except RefusedError as refusal:
            if "has ended" not in str(refusal) or not output.exists():
                raise
            written = True  # as it ended
        if not written:
            raise RefusedError(
                f"process {asked.pid} has recorded, and hangs: its recording is {output}.recording,"
                f" which `python3 -m giltrace -o {asked.output} --recording {output}.recording` "
                "draws"
            )
    say(f"{summary_in(output)}written to {output}")


def summary_in(output: Path) -> str:
    """What giltrace has written there in words, too. Empty: it cannot be read."""
    begin = ""
    with contextlib.suppress(OSError):
        if output.is_file():
            with output.open(errors="replace") as file:
                begin = file.read(_BEGINNING)
    if found := re.search(r'"summary": ("(?:[^"\\]|\\.)*")', begin):
        return str(json.loads(found[1]))
    if found := re.search("<desc>(.*?)</desc>", begin, re.DOTALL):
        return html.unescape(found[1])
    return ""
