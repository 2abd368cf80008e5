"""Records a process that already runs: python3 -m giltrace --pid PID -o trace.html."""

from __future__ import annotations

import argparse
import contextlib
import html
import json
import re
from pathlib import Path

from handoff_attach.command_line import say
from handoff_attach.injection import started
from handoff_attach.process import Process, RefusedError

from . import write

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
        with contextlib.suppress(KeyboardInterrupt):  # which may come as soon as it is told
            say(f"giltrace: records process {asked.pid} {end}")
            recording.wait_while_it_runs(asked.seconds)
        recording.end()
        try:
            if not recording.expect("stopped", _WRITING):
                raise RefusedError(f"process {asked.pid} has recorded, and hangs: {_left(output)}")
        except RefusedError:
            if not process.has_ended_program():
                raise
            if not output.exists():
                if not _recording_of(output).exists():
                    raise
                _draw_what_is_left(output, asked.pid)
                return
    say(f"{summary_in(output)}written to {output}")


def _recording_of(output: Path) -> Path:
    """What giltrace writes until the output is there."""
    return Path(f"{output}.recording")


def _left(output: Path) -> str:
    recording = _recording_of(output)
    return (
        f"its recording is {recording}, which `python3 -m giltrace -o {output.name} "
        f"--recording {recording}` draws"
    )


def _draw_what_is_left(output: Path, pid: int) -> None:
    """Writes the output, and says what the summary is. Raises RefusedError."""
    say(
        f"giltrace: process {pid} has ended, or become another program, and could not write what "
        "it had recorded until then (a signal, _exit(), exec())"
    )
    recording = _recording_of(output)
    try:
        write(recording, output)
    except RuntimeError as failure:
        raise RefusedError(str(failure).removeprefix("giltrace: ")) from None
    recording.unlink(missing_ok=True)


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
